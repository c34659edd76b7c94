"""What can fail, with the words that a kubelet would have had from containerd.

Each error carries `reason`, the kubelet's own name for the failing step (what a container's waiting state or the
pod's event shows), and its text is the message to show beside it.
"""

from __future__ import annotations

from typing import ClassVar

_TASK = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed"


class RuntimeFailure(Exception):
    """Something that was asked of the runtime could not be done; nothing of it is left behind."""

    reason: ClassVar[str] = "RuntimeError"

    @property
    def message(self) -> str:
        """The sentence that is shown to people, without the reason."""
        return str(self)


class NotFound(RuntimeFailure):
    """There is no sandbox or container of this id (any more)."""

    reason = "NotFound"


class SandboxFailed(RuntimeFailure):
    """The sandbox could not be made: namespaces, network, sysctls, cgroup, a host port that is taken."""

    reason = "CreatePodSandboxError"


class CreateFailed(RuntimeFailure):
    """The container could not be made: root, a mount's source or sub_path, an unknown user."""

    reason = "CreateContainerError"


class ConfigFailed(CreateFailed):
    """What the pod's specification asks of the container cannot be had: a volume's source, a sub-path."""

    reason = "CreateContainerConfigError"


class StartFailed(RuntimeFailure):
    """The container's process could not begin.

    The container is then EXITED, with `container_reason` (StartError) and `exit_code`, as containerd leaves it.
    """

    reason = "RunContainerError"
    container_reason: ClassVar[str] = "StartError"
    exit_code: ClassVar[int] = 128

    @classmethod
    def because(cls, why: str) -> StartFailed:
        """`why` as runc words it: `exec: "/x": stat /x: no such file or directory`."""
        return cls(f"{_TASK}: unable to start container process: {why}: unknown")


class ExecFailed(RuntimeFailure):
    """A process could not be begun in a running container (exec, probes, lifecycle hooks)."""

    reason = "ExecError"

    @classmethod
    def because(cls, container_id: str, why: str) -> ExecFailed:
        """The text of containerd's answer to ExecSync and Exec, as the kubelet wraps it in its events."""
        return cls(
            "rpc error: code = Unknown desc = failed to exec in container: failed to start exec "
            f'"{container_id}": OCI runtime exec failed: exec failed: unable to start container process: {why}: unknown'
        )


class ExecTimeout(RuntimeFailure):
    """A process of exec_sync did not end in time; it has been killed. `output` is what it wrote until then."""

    reason = "ExecTimeout"

    def __init__(self, message: str, output: bytes) -> None:
        super().__init__(message)
        self.output = output
