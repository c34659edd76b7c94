"""Decisions about a container's security context (pkg/kubelet/kuberuntime/security_context.go, lib of util.go)."""

from __future__ import annotations

from dataclasses import dataclass

from podrun.api.pod import Container, Pod, Profile


@dataclass(frozen=True, slots=True)
class RunAs:
    """Whom a container runs as; `uid` None leaves it to the image."""

    uid: int | None
    gid: int | None
    non_root: bool


def run_as(pod: Pod, container: Container) -> RunAs:
    """The container's own settings, else the pod's."""
    own, whole = container.security_context, pod.spec.security_context
    return RunAs(
        own.run_as_user if own.run_as_user is not None else whole.run_as_user,
        own.run_as_group if own.run_as_group is not None else whole.run_as_group,
        bool(own.run_as_non_root if own.run_as_non_root is not None else whole.run_as_non_root),
    )


def non_root_problem(pod: Pod, container: Container, image_user: str) -> str | None:
    """Why a container that must not be root is not started; None when all is well.

    `image_user` is the image's USER: empty means root, a name cannot be checked (verifyRunAsNonRoot).
    """
    who = run_as(pod, container)
    if not who.non_root:
        return None
    where = f'(pod: "{pod}", container: {container.name})'
    if who.uid is not None:
        return f"container's runAsUser breaks non-root policy {where}" if who.uid == 0 else None
    user = image_user.partition(":")[0]
    if user in ("", "0"):
        return f"container has runAsNonRoot and image will run as root {where}"
    if not user.isdecimal():
        problem = f"image has non-numeric user ({user}), cannot verify user is non-root"
        return f"container has runAsNonRoot and {problem} {where}"
    return None if int(user) else f"container has runAsNonRoot and image will run as root {where}"


def seccomp(pod: Pod, container: Container) -> Profile | None:
    """The seccomp profile asked for; None leaves the node's default."""
    return container.security_context.seccomp_profile or pod.spec.security_context.seccomp_profile


def app_armor(pod: Pod, container: Container) -> Profile | None:
    """The AppArmor profile asked for."""
    return container.security_context.app_armor_profile or pod.spec.security_context.app_armor_profile


def no_new_privileges(container: Container) -> bool:
    """allowPrivilegeEscalation false."""
    return container.security_context.allow_privilege_escalation is False
