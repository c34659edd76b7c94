"""The checks of the Pod Security Standards: who violates what, in Kubernetes' words, in which version."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.podsecurity.policy import LevelVersion
from podrun.api.podsecurity.standard import NEWEST, violations

Object = dict[str, Any]

SECURED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What `restricted` asks of a container."""


def spec(*contexts: Object, **fields: Any) -> Object:
    """A spec of containers a, b, ... that have these securityContexts, and nothing else that is refused."""
    named = zip("abcdef", contexts or ({},), strict=False)
    return {"containers": [{"name": name, "securityContext": SECURED | given} for name, given in named], **fields}


def told(level: str, of: Object, version: str = "latest", **metadata: Any) -> list[str]:
    return [str(one) for one in violations(LevelVersion(level, version), metadata, of)]


HTTP = {"httpGet": {"host": "b.example", "port": 80}}
TCP = {"tcpSocket": {"host": "a.example", "port": 80}}
UNMASKED = {"procMount": "Unmasked"}

BASELINE = [
    ("nothing asked for", {"containers": [{"name": "a"}]}, []),
    (
        "privileged",
        spec({"privileged": True}),
        ['privileged (container "a" must not set securityContext.privileged=true)'],
    ),
    (
        "privileged, two of three",
        spec({"privileged": True}, {}, {"privileged": True}),
        ['privileged (containers "a", "c" must not set securityContext.privileged=true)'],
    ),
    (
        "namespaces of the host",
        spec(hostNetwork=True, hostPID=True, hostIPC=True),
        ["host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"],
    ),
    (
        "a folder of the host",
        spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "emptyDir": {}}]),
        ['hostPath volumes (volume "v")'],
    ),
    (
        "ports of the host, told as texts are sorted",
        {"containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]}]},
        ['hostPort (container "a" uses hostPorts 443, 80)'],
    ),
    (
        "ports of the host in two containers",
        {
            "initContainers": [{"name": "i", "ports": [{"hostPort": 1}]}],
            "containers": [{"name": "a", "ports": [{"hostPort": 1}]}],
        },
        ['hostPort (containers "i", "a" use hostPort 1)'],
    ),
    (
        "capabilities beyond the default, NET_RAW and lower case among them",
        spec({"capabilities": {"add": ["SYS_ADMIN", "CHOWN", "NET_RAW"]}}, {"capabilities": {"add": ["chown"]}}),
        [
            'non-default capabilities (containers "a", "b" must not include "NET_RAW", "SYS_ADMIN", "chown" in '
            "securityContext.capabilities.add)"
        ],
    ),
    (
        "/proc unmasked",
        spec(UNMASKED),
        ['procMount (container "a" must not set securityContext.procMount to "Unmasked")'],
    ),
    ("/proc unmasked in a user namespace", spec(UNMASKED, hostUsers=False), []),
    (
        "seccomp off for the pod and a container",
        spec({"seccompProfile": {"type": "Unconfined"}}, securityContext={"seccompProfile": {"type": "Unconfined"}}),
        ['seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined")'],
    ),
    (
        "AppArmor off for the pod and a container",
        spec({"appArmorProfile": {"type": "Unconfined"}}, securityContext={"appArmorProfile": {"type": "Unconfined"}}),
        ['forbidden AppArmor profile (pod and container "a" must not set AppArmor profile type to "Unconfined")'],
    ),
    (
        "SELinux",
        spec({"seLinuxOptions": {"type": "spc_t", "role": "r"}}, securityContext={"seLinuxOptions": {"user": "u"}}),
        [
            'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; user '
            "may not be set; role may not be set)"
        ],
    ),
    ("SELinux as containers have it", spec({"seLinuxOptions": {"type": "container_engine_t", "level": "s0"}}), []),
    (
        "kernel parameters, in the order given",
        spec(securityContext={"sysctls": [{"name": "vm.z"}, {"name": "net.ipv4.tcp_wmem"}, {"name": "kernel.a"}]}),
        ["forbidden sysctls (vm.z, kernel.a)"],
    ),
    (
        "Windows' host processes",
        spec({"windowsOptions": {"hostProcess": True}}, securityContext={"windowsOptions": {"hostProcess": True}}),
        ['hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)'],
    ),
    (
        "a probe and a hook that ask others",
        {"containers": [{"name": "b", "livenessProbe": HTTP}, {"name": "a", "lifecycle": {"preStop": TCP}}]},
        ['probe or lifecycle host (containers "a", "b" use probe or lifecycle hosts "a.example", "b.example")'],
    ),
    (
        "an ephemeral container counts",
        spec(ephemeralContainers=[{"name": "debugger", "securityContext": {"privileged": True}}]),
        ['privileged (container "debugger" must not set securityContext.privileged=true)'],
    ),
]

RESTRICTED = [
    ("all that is asked for", spec(), []),
    (
        "nothing of it",
        {"containers": [{"name": "c"}]},
        [
            'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
            'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"])',
            'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
            'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
            '"Localhost")',
        ],
    ),
    (
        "for Windows, which cannot set most of it",
        {"os": {"name": "windows"}, "containers": [{"name": "c"}]},
        ['runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)'],
    ),
    (
        "capabilities: kept, and others added",
        spec({"capabilities": {"add": ["NET_BIND_SERVICE", "CHOWN"]}}),
        [
            'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container '
            '"a" must not include "CHOWN" in securityContext.capabilities.add)'
        ],
    ),
    ("what is told of both levels is told once", spec(UNMASKED, hostUsers=False), [
        'procMount (container "a" must not set securityContext.procMount to "Unmasked")'
    ]),
    (
        "volumes of the host and of networks",
        spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "nfs": {}}, {"name": "x", "secret": {}}]),
        ['restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")'],
    ),
    (
        "root, by the pod's word and a container's",
        spec({"runAsUser": 0}, securityContext={"runAsUser": 0}),
        ['runAsUser=0 (pod and container "a" must not set runAsUser=0)'],
    ),
    (
        "may be root, by the pod's word and a container's",
        spec({"runAsNonRoot": False}, securityContext={"runAsNonRoot": False}),
        ['runAsNonRoot != true (pod and container "a" must not set securityContext.runAsNonRoot=false)'],
    ),
    ("root in a user namespace", spec({"runAsNonRoot": False, "runAsUser": 0}, hostUsers=False), []),
    (
        "the pod's word is enough for seccomp and users",
        {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "Localhost", "localhostProfile": "x"}},
            "containers": [{"name": "a", "securityContext": {key: SECURED[key] for key in list(SECURED)[:2]}}],
        },
        [],
    ),
]  # fmt: skip

VERSIONS = [
    ("hosts of probes", "baseline", {"containers": [{"name": "a", "livenessProbe": HTTP}]}, 34, None),
    ("/proc in a user namespace", "baseline", spec(UNMASKED, hostUsers=False), None, 35),
    ("SELinux for container engines", "baseline", spec({"seLinuxOptions": {"type": "container_engine_t"}}), None, 31),
    ("a safe sysctl", "baseline", spec(securityContext={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}), None, 32),
    ("seccomp off", "baseline", spec({"seccompProfile": {"type": "Unconfined"}}), 19, None),
    ("root", "restricted", spec({"runAsUser": 0}), 23, None),
    ("root in a user namespace", "restricted", spec({"runAsUser": 0}, hostUsers=False), 23, 35),
    ("escalation", "restricted", spec({"allowPrivilegeEscalation": True}), 8, None),
    ("capabilities kept", "restricted", spec({"capabilities": {}}), 22, None),
]
"""What, level, spec, the first minor version that refuses it (None: 0), the first that does not any more."""


@pytest.mark.parametrize(("of", "expected"), [row[1:] for row in BASELINE], ids=[row[0] for row in BASELINE])
def test_baseline(of: Object, expected: list[str]) -> None:
    assert told("baseline", of) == expected
    assert told("privileged", of) == []


@pytest.mark.parametrize(("of", "expected"), [row[1:] for row in RESTRICTED], ids=[row[0] for row in RESTRICTED])
def test_restricted(of: Object, expected: list[str]) -> None:
    assert told("restricted", of) == expected


@pytest.mark.parametrize(
    ("level", "of", "begins", "ends"), [row[1:] for row in VERSIONS], ids=[row[0] for row in VERSIONS]
)
def test_versions(level: str, of: Object, begins: int | None, ends: int | None) -> None:
    refused = {minor for minor in range(40) if told(level, of, f"v1.{minor}")}
    assert refused == set(range(begins or 0, ends or 40))
    assert bool(told(level, of)) == (ends is None)


def test_the_future_is_as_the_newest_version() -> None:
    of = {"containers": [{"name": "c"}]}
    assert told("restricted", of, f"v1.{NEWEST + 1000}") == told("restricted", of)


def test_annotations_of_apparmor() -> None:
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    sound = {prefix + "a": "runtime/default", prefix + "b": "localhost/x", prefix + "c": ""}
    assert told("baseline", spec(), annotations=sound) == []
    bad = {prefix + "z": "unconfined", prefix + "y": "other"}
    assert told("baseline", spec(), annotations=sound | bad) == [
        "forbidden AppArmor profiles (annotations must not set AppArmor profile type to "
        f'"{prefix}y="other"", "{prefix}z="unconfined"")'
    ]


def test_annotations_of_seccomp_counted_before_1_19() -> None:
    pod = "seccomp.security.alpha.kubernetes.io/pod"
    bad = {pod: "unconfined", f"container.{pod[:-3]}a": "unconfined", f"container.{pod[:-3]}b": "docker/default"}
    annotation = 'container.seccomp.security.alpha.kubernetes.io/a="unconfined"'
    expected = f'seccompProfile (forbidden annotations {annotation}, {pod}="unconfined")'
    assert told("baseline", spec({}, {}), "v1.18", annotations=bad) == [expected]
    assert told("baseline", spec({}, {}), annotations=bad) == []
