"""A specification in the runtime's terms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from podrun.api.pod import Pod
from podrun.images.model import Image, ImageConfig
from podrun.lifecycle.environment import ConfigError
from podrun.lifecycle.naming import Resolver
from podrun.runtime.model import ContainerConfig, Mount, PortMapping
from podrun.supervisor import configs
from podrun.supervisor.options import Options
from podrun.supervisor.user_ranges import UserRanges
from podrun.volumes.model import PreparedVolume

IMAGE = Image(
    "sha256:1",
    ("busybox",),
    (),
    ImageConfig(
        user="app", env=(("PATH", "/bin"), ("A", "image")), entrypoint=("/entry",), cmd=("arg",), working_dir="/w"
    ),
    (Path("/layer"),),
    1,
)


def options(tmp_path: Path, **more: Any) -> Options:
    return Options("node1", tmp_path / "logs", tmp_path / "state", resolver=Resolver(("192.0.2.53",)), **more)


def pod(container: dict[str, Any], **spec: Any) -> Pod:
    containers = [{"name": "a", "image": "busybox", **container}]
    meta = {"name": "p", "namespace": "n", "uid": "u"}
    return Pod.of({"metadata": meta, "spec": {"containers": containers, **spec}})


def config(
    tmp_path: Path,
    container: dict[str, Any],
    *,
    environment: Any = None,
    volumes: Any = None,
    more: Any = None,
    **spec: Any,
) -> ContainerConfig:
    made = pod(container, **spec)
    return configs.container_config(
        made,
        made.spec.containers[0],
        attempt=2,
        image=IMAGE,
        environment=environment or {},
        volumes=volumes or {},
        target=None,
        options=options(tmp_path, **(more or {})),
    )


@pytest.mark.parametrize(
    ("container", "argv"),
    [
        ({}, ("/entry", "arg")),
        ({"args": ["x"]}, ("/entry", "x")),
        ({"command": ["c"]}, ("c",)),
        ({"command": ["c"], "args": ["$(B)", "$$(B)"]}, ("c", "b", "$(B)")),
    ],
)
def test_command_and_args(tmp_path: Path, container: dict[str, Any], argv: tuple[str, ...]) -> None:
    assert config(tmp_path, container, environment={"B": "b"}).argv == argv


def test_the_pods_variables_win_over_the_images(tmp_path: Path) -> None:
    made = config(tmp_path, {}, environment={"A": "pod", "B": "b"})
    assert dict(made.env) == {"PATH": "/bin", "A": "pod", "B": "b"}


def test_what_the_image_says_stands_where_the_pod_says_nothing(tmp_path: Path) -> None:
    made = config(tmp_path, {})
    assert (made.working_dir, made.user.name, made.stop_signal) == ("/w", "app", "SIGTERM")
    assert made.log_path == tmp_path / "logs/n_p_u/a/2.log"
    own = config(tmp_path, {"workingDir": "/x", "lifecycle": {"stopSignal": "SIGUSR1"}})
    assert (own.working_dir, own.stop_signal) == ("/x", "SIGUSR1")


def test_security(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        {
            "securityContext": {
                "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"},
                "runAsUser": 5,
            }
        },
        securityContext={"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]},
        more={"seccomp_profiles": Path("/profiles")},
    )
    assert made.security.add_capabilities == ("NET_ADMIN",)
    assert made.security.no_new_privileges
    assert made.security.read_only_root
    assert made.security.seccomp == Path("/profiles/p.json")
    assert (made.user.uid, made.user.gid, made.user.fs_group, made.user.supplemental_groups) == (5, 2, 3, (4,))


@pytest.mark.parametrize(
    ("context", "default", "expected"),
    [
        ({}, True, "RuntimeDefault"),
        ({}, False, "Unconfined"),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, False, "RuntimeDefault"),
        ({"seccompProfile": {"type": "Unconfined"}}, True, "Unconfined"),
        ({"privileged": True}, True, "Unconfined"),
    ],
)
def test_seccomp(tmp_path: Path, context: dict[str, Any], default: bool, expected: str) -> None:
    assert (
        config(tmp_path, {"securityContext": context}, more={"seccomp_default": default}).security.seccomp == expected
    )


def test_mounts(tmp_path: Path) -> None:
    volumes = {
        "v": PreparedVolume("v", tmp_path),
        "c": PreparedVolume("c", tmp_path / "c", read_only=True),
    }
    mounts = [
        {"name": "v", "mountPath": "/v", "subPathExpr": "d-$(P)", "mountPropagation": "HostToContainer"},
        {"name": "c", "mountPath": "etc/one", "subPath": "k"},
    ]
    made = config(tmp_path, {"volumeMounts": mounts}, environment={"P": "p"}, volumes=volumes)
    assert made.mounts == (
        Mount(tmp_path, "/v", "d-p", propagation="HostToContainer", volume="v", create_sub_path=True),
        Mount(tmp_path / "c", "/etc/one", "k", read_only=True, volume="c", create_sub_path=False),
    )


def test_a_mount_of_a_volume_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot find volume"):
        config(tmp_path, {"volumeMounts": [{"name": "v", "mountPath": "/v"}]})


def test_root_where_it_must_not_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="breaks non-root policy"):
        config(tmp_path, {"securityContext": {"runAsNonRoot": True, "runAsUser": 0}})


def debugging(tmp_path: Path, target_mounts: list[dict[str, str]], **more: Any) -> list[str]:
    made = pod({"volumeMounts": target_mounts}, ephemeralContainers=[{"name": "d", "image": "busybox"}])
    debugger = made.spec.ephemeral_containers[0]
    volumes = {m["name"]: PreparedVolume(m["name"], tmp_path) for m in target_mounts}
    found = configs.container_config(
        made,
        debugger,
        attempt=0,
        image=IMAGE,
        environment={},
        volumes=volumes,
        target=(made.spec.containers[0], "id"),
        options=options(tmp_path, **more),
    )
    assert found.target_id == "id"
    return [mount.target for mount in found.mounts]


def test_a_debug_container_sees_its_targets_volumes_but_not_the_token(tmp_path: Path) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "t", "mountPath": configs.TOKEN_DIRECTORY}]
    assert debugging(tmp_path, mounts) == ["/v"]
    assert debugging(tmp_path, mounts, debug_sees_volumes=False) == []


@pytest.mark.parametrize(
    ("container", "spec", "problem"),
    [
        ({}, {"hostUsers": False}, "can't set `spec.hostUsers: false`, runtime does not support user namespaces"),
        ({}, {"resourceClaims": [{"name": "gpu"}]}, "resourceClaims"),
        ({"volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]}, {}, "volumeDevices of container a"),
    ],
)
def test_what_podrun_does_not_do_is_said(tmp_path: Path, container: Any, spec: Any, problem: str) -> None:
    with pytest.raises(configs.Unsupported, match=problem):
        configs.sandbox_config(
            pod(container, **spec), 0, replace(options(tmp_path), user_namespaces=False), UserRanges()
        )


def test_the_sandbox(tmp_path: Path) -> None:
    made = pod(
        {
            "ports": [
                {"containerPort": 80, "hostPort": 8080, "protocol": "UDP", "hostIP": "127.0.0.1"},
                {"containerPort": 81},
            ]
        },
        hostname="h",
        subdomain="s",
        hostAliases=[{"ip": "1.2.3.4", "hostnames": ["one"]}],
        securityContext={"sysctls": [{"name": "net/ipv4/ip_forward", "value": "1"}]},
        shareProcessNamespace=True,
    )
    found = configs.sandbox_config(made, 3, options(tmp_path), UserRanges())
    assert (found.hostname, found.domain, found.attempt) == ("h", "s.n.svc.cluster.local", 3)
    assert found.port_mappings == (PortMapping(80, 8080, "UDP", "127.0.0.1"),)
    assert found.host_aliases == (("1.2.3.4", ("one",)),)
    assert found.sysctls == {"net.ipv4.ip_forward": "1"}
    assert found.share_process_namespace
    assert found.dns.nameservers == ("192.0.2.53",)
    assert found.cgroup_parent == "besteffort"


LOCAL = {"type": "Localhost", "localhostProfile": "mine"}


@pytest.mark.parametrize(
    ("context", "more", "profile"),
    [
        pytest.param({}, {}, "", id="no AppArmor"),
        pytest.param({}, {"app_armor": True}, "", id="a default that could not be loaded"),
        pytest.param({}, {"app_armor": True, "app_armor_default": "ours"}, "ours", id="the default"),
        pytest.param(
            {"appArmorProfile": {"type": "RuntimeDefault"}}, {"app_armor": True}, "podrun-default", id="asked for"
        ),
        pytest.param(
            {"appArmorProfile": {"type": "Unconfined"}}, {"app_armor": True, "app_armor_default": "ours"}, "", id="none"
        ),
        pytest.param({"appArmorProfile": LOCAL}, {"app_armor": True}, "mine", id="one of the machine"),
        pytest.param({"privileged": True}, {"app_armor": True, "app_armor_default": "ours"}, "", id="privileged"),
        pytest.param(
            {"privileged": True, "appArmorProfile": LOCAL}, {"app_armor": True}, "mine", id="privileged and named"
        ),
    ],
)
def test_the_apparmor_profile(tmp_path: Path, context: dict[str, Any], more: dict[str, Any], profile: str) -> None:
    assert config(tmp_path, {"securityContext": context}, more=more).security.apparmor == profile
