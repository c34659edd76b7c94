"""What is accepted with a warning, and what the server completes before it looks."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.validation import prepare_create, validate_create, warnings, without_disabled_fields
from podrun.api.validation.field import Path
from podrun.api.validation.key_pairs import key_pair_problem
from podrun.api.validation.pod_warnings import pod_spec_warnings
from tests.api.validation.samples import POD, Object, changed, container, named, rows

C = "spec.containers.0."
P = "spec.containers[0]."
NOTHING = "a null labelSelector results in matching no pod"


def ports(*listed: Any) -> dict[str, Any]:
    return {C + "ports": [{"protocol": "TCP"} | one for one in listed]}


POD_WARNINGS = {
    "a plain pod": ({}, []),
    "a name that is no host's name": (
        {"metadata.name": "a.b"},
        [
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS "
            "label is "
            "recommended: [must not contain dots]"
        ],
    ),
    "a variable that hides another": (
        {C + "env": [{"name": "X", "value": "1"}, {"name": "X", "value": "2"}]},
        [P + 'env[1]: hides previous definition of "X", which may be dropped when using apply'],
    ),
    "a variable that adds to another": (
        {C + "env": [{"name": "X", "value": "1"}, {"name": "X", "value": "$(X)2"}]},
        [],
    ),
    "a port twice": (
        ports({"containerPort": 80}, {"containerPort": 80, "hostPort": 8080}),
        [P + "ports[1]: overlapping port definition with spec.containers[0].ports[0]"],
    ),
    "a port of one address and of all": (
        ports({"containerPort": 80, "hostPort": 8}, {"containerPort": 80, "hostPort": 8, "hostIP": "1.1.1.1"}),
        [P + "ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]"],
    ),
    "an address without a port": (
        ports({"containerPort": 80, "hostIP": "1.1.1.1", "name": "x"}),
        [P + "ports[0]: hostIP set without hostPort: {Name:x HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.1.1.1}"],
    ),
    "a name of a port in two containers": (
        {
            "spec.initContainers": [
                container(
                    name="s", restartPolicy="Always", ports=[{"containerPort": 1, "name": "x", "protocol": "TCP"}]
                )
            ]
        }
        | ports({"containerPort": 2, "name": "x"}),
        [
            P
            + 'ports[0]: duplicate port name "x" with spec.initContainers[0].ports[0], services and probes that select '
            "ports by name will use spec.initContainers[0].ports[0]"
        ],
    ),
    "part of a byte": (
        {C + "resources": {"limits": {"memory": "1500m"}}},
        [P + 'resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer'],
    ),
    "a label of nodes that was replaced": (
        {"spec/nodeSelector": {"beta.kubernetes.io/os": "linux"}},
        ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
    ),
    "a spread over nothing": (
        {"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
        [f"spec.topologySpreadConstraints[0].labelSelector: {NOTHING}"],
    ),
    "a distance from nothing": (
        {"spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z"}]},
        [f"spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: {NOTHING}"],
    ),
    "a secret for images twice": (
        {"spec.imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}]},
        [
            'spec.imagePullSecrets[1].name: duplicate name "a"',
            'spec.imagePullSecrets[2].name: invalid empty name ""',
        ],
    ),
    "a negative grace period": (
        {"spec.terminationGracePeriodSeconds": -1},
        ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
    ),
    "files on top of each other": (
        {
            "spec.volumes": [
                {
                    "name": "v",
                    "configMap": {"name": "c", "items": [{"key": "a", "path": "d"}, {"key": "b", "path": "d/e"}]},
                },
                {
                    "name": "w",
                    "projected": {
                        "sources": [
                            {"secret": {"name": "s", "items": [{"key": "a", "path": "t/"}]}},
                            {"serviceAccountToken": {"path": "t"}},
                            {},
                        ]
                    },
                },
                {"name": "x", "gitRepo": {"repository": "r"}},
            ]
        },
        [
            "spec.volumes[2].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
            'volume "v" (ConfigMap "c"): overlapping paths: "d/e" with "d"',
            'volume "w" (Projected) has no sources provided',
            'volume "w" (Projected): overlapping paths: "t" (ServiceAccountToken) with "t" (Secret "s")',
        ],
    ),
    "a resolver with zeros": (
        {"spec.dnsConfig": {"nameservers": ["2001:DB8::1"]}},
        [
            'spec.dnsConfig.nameservers[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format '
            '("2001:db8::1")'
        ],
    ),
}


@pytest.mark.parametrize(("changes", "expected"), rows(POD_WARNINGS))
def test_a_pod(changes: dict[str, Any], expected: list[str]) -> None:
    assert warnings("Pod", changed(POD, changes)) == expected


def test_a_changed_pod_is_not_warned_of() -> None:
    odd = changed(POD, {"metadata.name": "a.b"})
    assert warnings("Pod", odd, odd) == []


OTHERS = {
    "a Service for nobody in particular": (
        named(
            "Service",
            spec={"type": "ClusterIP", "clusterIP": "None", "externalIPs": ["1.1.1.1"], "sessionAffinity": "ClientIP"},
        ),
        ["spec.externalIPs is ignored for headless services", "spec.SessionAffinity is ignored for headless services"],
    ),
    "a name that nobody reads": (
        named("Service", spec={"type": "NodePort", "externalName": "x"}),
        ['spec.externalName is ignored when spec.type is not "ExternalName"'],
    ),
    "an ambiguous block": (
        named("Node", namespaced=False, spec={"podCIDRs": ["10.0.0.1/8"]}),
        [
            'spec.podCIDRs[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or '
            '"10.0.0.1/32"?)'
        ],
    ),
    "names for addresses": (
        named("EndpointSlice", addressType="FQDN"),
        ["spec.addressType: FQDN endpoints are deprecated"],
    ),
    "a certificate that is none": (
        named("Secret", type="kubernetes.io/tls", data={"tls.crt": "eA==", "tls.key": ""}),
        ["tls: failed to find any PEM data in certificate input"],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), rows(OTHERS))
def test_another_kind(obj: Object, expected: list[str]) -> None:
    assert warnings(obj["kind"], obj) == expected


def test_a_key_beside_the_wrong_certificate() -> None:
    certificate = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
    key = b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
    assert key_pair_problem(certificate, b"") == "tls: failed to find any PEM data in key input"
    assert key_pair_problem(certificate, certificate).startswith("tls: found a certificate rather than a key")
    assert "may have been switched" in key_pair_problem(key, certificate)
    assert key_pair_problem(certificate, key) == "x509: malformed certificate"


def test_fields_behind_closed_gates_are_dropped() -> None:
    written = changed(
        POD,
        {
            C + "lifecycle": {"stopSignal": "SIGUSR1"},
            "spec.volumes": [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"path": "x"}}]}}],
            "spec.schedulingGroup": {},
        },
    )
    kept = without_disabled_fields("Pod", written)
    assert kept == changed(POD, {"spec.volumes": [{"name": "v", "projected": {"sources": [{}]}}]})
    assert without_disabled_fields("Pod", POD) is POD
    assert without_disabled_fields("PodTemplate", {"template": written}) == {"template": kept}


def test_label_keys_become_requirements() -> None:
    written = changed(
        POD,
        {
            "metadata.labels": {"v": "1"},
            "spec.topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "z",
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {"v": "1"}},
                    "matchLabelKeys": ["v", "w"],
                }
            ],
        },
    )
    made = prepare_create("Pod", written).object
    constraint = made["spec"]["topologySpreadConstraints"][0]
    assert constraint["labelSelector"]["matchExpressions"] == [{"key": "v", "operator": "In", "values": ["1"]}]
    assert [cause.message for cause in validate_create("Pod", made)] == [
        'Invalid value: "v": exists in both matchLabelKeys and labelSelector'
    ]


def test_an_apparmor_annotation_becomes_a_field() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/a"
    prepared = prepare_create("Pod", changed(POD, {"metadata/annotations": {key: "localhost/p"}}))
    assert prepared.object["spec"]["containers"][0]["securityContext"] == {
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}
    }
    assert prepared.warnings == [
        f'metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'
    ]


def test_a_claim_is_warned_of_where_the_pod_would_be_scheduled_here() -> None:
    spec = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}
    here = {"metadata": {}, "spec": {**spec, "schedulerName": "default-scheduler"}}
    assert list(pod_spec_warnings(here, Path(""))) == [
        "spec.volumes[0].persistentVolumeClaim: podrun has no storage to claim, so that this pod stays Pending; "
        "use emptyDir, hostPath, configMap, secret, downwardAPI, projected or image"
    ]
    assert list(pod_spec_warnings({"metadata": {}, "spec": {**spec, "schedulerName": "none"}}, Path(""))) == []
