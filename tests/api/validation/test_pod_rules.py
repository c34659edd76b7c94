"""The rest of a pod's spec: security, resources, where it runs, what its network looks like."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.validation import validate_create
from tests.api.validation.samples import GONE, POD, changed, container, rows, told

C = "spec.containers.0."
P = "spec.containers[0]."
S = "spec.securityContext."
ID = "must be between 0 and 2147483647, inclusive"
TERM = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
ANTI = "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution"


def resources(**lists: Any) -> dict[str, Any]:
    return {C + "resources": lists}


SECURITY = {
    "ids fit in 31 bits": (
        {S + "runAsUser": -1, S + "supplementalGroups": [1, 2**31]},
        [f"{S}runAsUser: Invalid value: -1: {ID}", f"{S}supplementalGroups[1]: Invalid value: 2147483648: {ID}"],
    ),
    "a local profile of seccomp is below the node's directory": (
        {S + "seccompProfile": {"type": "Localhost", "localhostProfile": "/p"}},
        [S + 'seccompProfile.localhostProfile: Invalid value: "/p": must be a relative path'],
    ),
    "only a local profile has a file": (
        {S + "seccompProfile": {"type": "Unconfined", "localhostProfile": "p"}},
        [
            S
            + 'seccompProfile.localhostProfile: Invalid value: {"Type":"Unconfined","LocalhostProfile":"p"}: can only '
            "be set when seccomp type is Localhost"
        ],
    ),
    "AppArmor says which profile": (
        {C + "securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": " "}}},
        [
            P
            + 'securityContext.appArmorProfile.localhostProfile: Invalid value: " ": must not be padded with whitespace'
        ],
    ),
    "a privileged container can always gain privileges": (
        {C + "securityContext": {"privileged": True, "allowPrivilegeEscalation": False, "runAsUser": 0}},
        [
            P + 'securityContext: Invalid value: {"Capabilities":null,"Privileged":true,"SELinuxOptions":null,'
            '"WindowsOptions":null,"RunAsUser":0,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,'
            '"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}: '
            "cannot set "
            "`allowPrivilegeEscalation` to false and `privileged` to true"
        ],
    ),
    "an unmasked /proc needs a user namespace": (
        {C + "securityContext": {"procMount": "Unmasked"}},
        [P + 'securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'],
    ),
    "an unmasked /proc in a user namespace is fine": (
        {"spec.hostUsers": False, C + "securityContext": {"procMount": "Unmasked"}},
        [],
    ),
    "a user namespace does not go with the host's others": (
        {"spec.hostUsers": False, "spec.hostIPC": True, "spec.hostNetwork": True},
        [
            "spec.HostIPC: Forbidden: when `hostUsers` is false",
            "spec.hostNetwork: Forbidden: when `hostUsers` is false",
        ],
    ),
    "a sysctl of the host's namespace is the host's": (
        {"spec.hostIPC": True, S + "sysctls": [{"name": "kernel/shm_rmid_forced", "value": "1"}]},
        [S + "sysctls[0].name: Invalid value: \"kernel/shm_rmid_forced\": may not be specified when 'hostIPC' is true"],
    ),
    "labels of SELinux are changed file by file": (
        {S + "seLinuxChangePolicy": "MountOption"},
        [S + 'seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive"'],
    ),
    "Linux has no options of Windows": (
        {"spec.os": {"name": "linux"}, C + "securityContext": {"windowsOptions": {"runAsUserName": "a\\b\\c"}}},
        [
            P + "securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
            P + 'securityContext.windowsOptions.runAsUserName: Invalid value: "a\\\\b\\\\c": runAsUserName cannot '
            "contain more than one backslash",
        ],
    ),
    "Windows has no users by number": (
        {"spec.os": {"name": "windows"}, S + "runAsUser": 1, "spec.hostPID": True},
        [
            S + "runAsUser: Forbidden: cannot be set for a windows pod",
            "spec.hostPID: Forbidden: cannot be set for a windows pod",
        ],
    ),
    "an annotation and a field say the same": (
        {
            "metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"},
            C + "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}},
        },
        [P + "securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match"],
    ),
    "the cost of deletion is a number": (
        {"metadata/annotations": {"controller.kubernetes.io/pod-deletion-cost": "+1"}},
        [
            'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": must be a 32bit '
            "integer"
        ],
    ),
}

RESOURCES = {
    "a request is within its limit": (
        resources(requests={"memory": "2Gi"}, limits={"memory": "1Gi"}),
        [P + 'resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit of 1Gi'],
    ),
    "equal amounts are equal however they are written": (
        resources(requests={"cpu": "1000m"}, limits={"cpu": "1"}),
        [],
    ),
    "huge pages are not shared, and whole": (
        resources(requests={"hugepages-2Mi": "3Mi"}, limits={"hugepages-2Mi": "4Mi"}),
        [
            P + "resources: Forbidden: HugePages require cpu or memory",
            P + 'resources.requests: Invalid value: "3Mi": must be equal to hugepages-2Mi limit of 4Mi',
            P + 'resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of '
            "hugepages-2Mi",
        ],
    ),
    "a device is whole": (
        resources(requests={"a.b/gpu": "500m"}, limits={"a.b/gpu": "500m"}),
        [
            P + 'resources.limits[a.b/gpu]: Invalid value: "500m": must be an integer',
            P + 'resources.requests[a.b/gpu]: Invalid value: "500m": must be an integer',
        ],
    ),
    "a device has a limit": (
        resources(requests={"a.b/gpu": "1"}),
        [P + "resources.limits: Required value: Limit must be set for non overcommitable resources"],
    ),
    "a claim is one of the pod's": (
        resources(claims=[{"name": "x"}]),
        [P + 'resources.claims[0]: Not found: "x": must be one of the names in pod.spec.resourceClaims which is empty'],
    ),
    "a claim of the pod comes from somewhere": (
        {"spec.resourceClaims": [{"name": "x"}]},
        [
            'spec.resourceClaims[0]: Invalid value: {"Name":"x","ResourceClaimName":null,"ResourceClaimTemplateName":'
            "null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        ],
    ),
    "the pod's budget holds the containers": (
        {
            "spec.resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}},
            "spec.initContainers": [
                container(name="s", restartPolicy="Always", resources={"requests": {"cpu": "600m"}}),
            ],
            C + "resources": {"requests": {"cpu": "600m"}, "limits": {"memory": "2Gi"}},
        },
        [
            'spec.resources.containers[0][memory].limits: Invalid value: "2Gi": must be less than or equal to pod '
            "limits "
            "of 1Gi",
            'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container '
            "requests of 1200m",
        ],
    ),
    "a policy of resizing fits the pod's": (
        {"spec.restartPolicy": "Never", C + "resizePolicy": [{"resourceName": "disk", "restartPolicy": "NotRequired"}]},
        [P + 'resizePolicy: Unsupported value: "disk": supported values: "cpu", "memory"'],
    ),
}

PLACES = {
    "a required term asks for something of nodes": (
        {TERM: [{"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1", "2"]}]}]},
        [
            f"{TERM}[0].matchExpressions[0].values: Required value: must be specified single value when `operator` is "
            "'Lt' or 'Gt'"
        ],
    ),
    "the only field of a node is its name": (
        {TERM: [{"matchFields": [{"key": "spec.unschedulable", "operator": "In", "values": ["x"]}]}]},
        [f'{TERM}[0].matchFields[0].key: Invalid value: "spec.unschedulable": not a valid field selector key'],
    ),
    "a weight is up to 100": (
        {
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 101, "preference": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]}}
            ]
        },
        [
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: "
            "must be in the range 1-100"
        ],
    ),
    "label keys need a selector": (
        {ANTI: [{"topologyKey": "t", "matchLabelKeys": ["a"]}]},
        [f"{ANTI}[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"],
    ),
    "a toleration of everything has no key": (
        {"spec.tolerations": [{"operator": "Exists", "tolerationSeconds": 5, "effect": "NoSchedule"}]},
        [
            "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when "
            "`tolerationSeconds` is set"
        ],
    ),
    "tolerations do not compare numbers yet": (
        {"spec.tolerations": [{"key": "a", "operator": "Gt", "value": "1"}]},
        [
            'spec.tolerations[0].operator: Unsupported value: "Gt": supported values: "Equal", "Exists", "Lt", "Gt"',
        ],
    ),
    "a spread is over something, by so much": (
        {
            "spec.topologySpreadConstraints": [
                {"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2},
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"},
            ]
        },
        [
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if "
            "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
            'spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, '
            'ScheduleAnyway}"',
        ],
    ),
    "a gated pod has no node": (
        {"spec.nodeName": "x", "spec.schedulingGates": [{"name": "g"}]},
        ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
    ),
}

NETWORK = {
    "a resolver of one's own has a server": (
        {"spec.dnsPolicy": "None", "spec.dnsConfig": {"searches": ["a"]}},
        [
            "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` "
            "is None"
        ],
    ),
    "search paths may have underscores and dots at the end": (
        {"spec.dnsConfig": {"searches": ["_a.b.", "."]}},
        [],
    ),
    "a name of a host in the hosts file": (
        {"spec.hostAliases": [{"ip": "::ffff:1.2.3.4", "hostnames": ["a"]}]},
        ['spec.hostAliases[0].ip: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address'],
    ),
    "a name instead of the pod's own": (
        {"spec.hostnameOverride": "a" * 65, "spec.setHostnameAsFQDN": True},
        [
            "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
            "spec.hostnameOverride: Too long: may not be more than 64 bytes",
        ],
    ),
}

WHOLE = {
    "a grace period is filled in before": (
        {"spec.terminationGracePeriodSeconds": GONE},
        ["spec.terminationGracePeriodSeconds: Required value"],
    ),
    "a deadline is a time": (
        {"spec.activeDeadlineSeconds": 0},
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ),
    "an operating system is named": ({"spec.os": {}}, ["spec.os.name: Required value"]),
    "what pulls may not be pushed": (
        {"spec.preemptionPolicy": "Maybe"},
        ['spec.preemptionPolicy: Unsupported value: "Maybe": supported values: "PreemptLowerPriority", "Never"'],
    ),
    "an overhead is an amount of resources": (
        {"spec.overhead": {"colour": "1"}},
        [
            'spec.overhead.limits[colour]: Invalid value: "colour": must be a standard resource for containers',
            'spec.overhead.limits[colour]: Invalid value: "colour": must be a standard resource type or fully '
            "qualified",
        ],
    ),
}


@pytest.mark.parametrize(("changes", "expected"), rows(SECURITY | RESOURCES | PLACES | NETWORK | WHOLE))
def test_a_pods_spec(changes: dict[str, Any], expected: list[str]) -> None:
    assert told(validate_create("Pod", changed(POD, changes))) == sorted(expected)


def test_a_template_may_leave_out_what_a_pod_may_not() -> None:
    template = {"metadata": {}, "spec": POD["spec"] | {"hostNetwork": True}}
    template["spec"]["containers"] = [
        container(image=" a ", ports=[{"containerPort": 80, "protocol": "TCP"}]),
    ]
    made = {"metadata": POD["metadata"], "template": template}
    assert validate_create("PodTemplate", made) == []
    assert told(validate_create("PodTemplate", changed(made, {"template.metadata.labels": {"a b": ""}})))[0].startswith(
        'template.labels: Invalid value: "a b"'
    )
