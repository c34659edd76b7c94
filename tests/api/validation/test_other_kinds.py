"""Every other kind, new and changed."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from podrun.api.validation import validate_create, validate_update
from tests.api.validation.samples import Object, changed, named, rows, told


def data(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


SERVICE = named(
    "Service",
    spec={
        "type": "ClusterIP",
        "clusterIP": "10.96.0.9",
        "clusterIPs": ["10.96.0.9"],
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    },
)
EVENT = named("Event", apiVersion="v1", involvedObject={"namespace": "n"})
NEW_EVENT = named(
    "Event",
    apiVersion="events.k8s.io/v1",
    regarding={"namespace": "n"},
    eventTime="2026-01-01T00:00:00.000000Z",
    type="Normal",
    reason="Made",
    action="Making",
    reportingController="a.b/c",
    reportingInstance="c-1",
)
ROLE = named("Role", rules=[{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}])
BINDING = named(
    "RoleBinding",
    roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
    subjects=[{"kind": "ServiceAccount", "name": "default"}],
)
NODE = named("Node", namespaced=False, spec={}, status={})
SLICE = named("EndpointSlice", addressType="IPv4", endpoints=[{"addresses": ["10.0.0.1"]}], ports=[])
LEASE = named("Lease", spec={"leaseDurationSeconds": 40})
PRIORITY = named("PriorityClass", namespaced=False, value=5)
RUNTIME = named("RuntimeClass", namespaced=False, handler="h")

NEW = {
    "a Secret for TLS has both halves": (
        named("Secret", type="kubernetes.io/tls", data={"tls.crt": ""}),
        {},
        ["data[tls.key]: Required value"],
    ),
    "a Secret for images is JSON": (
        named("Secret", type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": data("{")}),
        {},
        ['data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": unexpected end of JSON input'],
    ),
    "a Secret for images is a JSON object": (
        named("Secret", type="kubernetes.io/dockercfg", data={".dockercfg": data("[]")}),
        {},
        [
            'data[.dockercfg]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go '
            "value of "
            "type map[string]interface {}"
        ],
    ),
    "a Secret for passwords has a name or a password": (
        named("Secret", type="kubernetes.io/basic-auth"),
        {},
        ["data[password]: Required value", "data[username]: Required value"],
    ),
    "a Secret holds a mebibyte": (
        named("Secret", type="Opaque", data={"a": data("x" * (1024 * 1024 + 1))}),
        {},
        ["data: Too long: may not be more than 1048576 bytes"],
    ),
    "a Service is fine": (SERVICE, {}, []),
    "two ports have names": (
        SERVICE,
        {
            "spec.ports": [
                {"port": 80, "protocol": "TCP", "targetPort": 1},
                {"port": 80, "protocol": "TCP", "targetPort": 2},
            ]
        },
        [
            "spec.ports[0].name: Required value",
            "spec.ports[1].name: Required value",
            'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,'
            '"NodePort":0}',
        ],
    ),
    "a name for another name is a name": (
        SERVICE,
        {"spec": {"type": "ExternalName", "externalName": "a_b", "sessionAffinity": "None", "clusterIPs": ["1.1.1.1"]}},
        [
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
            'spec.externalName: Invalid value: "a_b": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
            "'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])"
            "?)*')",
        ],
    ),
    "clients stay with one pod for a day": (
        SERVICE,
        {"spec.sessionAffinity": "ClientIP", "spec.sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}},
        [
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less "
            "than 86400"
        ],
    ),
    "traffic from outside has a policy": (
        SERVICE,
        {"spec.type": "NodePort"},
        ["spec.externalTrafficPolicy: Required value"],
    ),
    "addresses fit their families": (
        SERVICE,
        {"spec.ipFamilies": ["IPv6"]},
        ['spec.clusterIPs[0]: Invalid value: "10.96.0.9": expected an IPv6 value as indicated by `ipFamilies[0]`'],
    ),
    "an address from outside is one to send to": (
        SERVICE,
        {"spec.externalIPs": ["127.0.0.1"], "spec.externalTrafficPolicy": "Cluster"},
        ['spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'],
    ),
    "an Event is in the namespace of its object": (
        EVENT,
        {"involvedObject.namespace": "m"},
        ['involvedObject.namespace: Invalid value: "m": does not match event.namespace'],
    ),
    "an Event of a cluster's object is in the default namespace": (
        EVENT,
        {"involvedObject": {}, "metadata.namespace": "default"},
        [],
    ),
    "a new Event is complete": (NEW_EVENT, {}, []),
    "a new Event says who did what": (
        NEW_EVENT,
        {"reportingController": "", "action": "x" * 129, "series": {"count": 1}, "deprecatedCount": 3},
        [
            'action: Invalid value: "": can have at most 128 characters',
            'count: Invalid value: "": needs to be unset',
            'reportingController: Invalid value: "": name part must be non-empty',
            "reportingController: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or "
            "'.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
            "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "reportingController: Required value",
            'series.count: Invalid value: "": should be at least 2',
            "series.lastObservedTime: Required value",
        ],
    ),
    "a role allows something": (
        ROLE,
        {"rules": [{"nonResourceURLs": ["/x"]}, {"verbs": ["get"]}]},
        [
            'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
            "rules[0].verbs: Required value: verbs must contain at least one value",
            "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[1].resources: Required value: resource rules must supply at least one resource",
        ],
    ),
    "a role's name may be anything but a path": (ROLE, {"metadata.name": "system:Node_1"}, []),
    "a binding is to a role": (
        BINDING,
        {"roleRef": {"kind": "Pod", "apiGroup": "x"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "Robot"}]},
        [
            'roleRef.apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"',
            'roleRef.kind: Unsupported value: "Pod": supported values: "Role", "ClusterRole"',
            "roleRef.name: Required value",
            'subjects[0].apiGroup: Unsupported value: "": supported values: "rbac.authorization.k8s.io"',
            'subjects[1].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
            "subjects[1].name: Required value",
        ],
    ),
    "a node's taints are one of a kind": (
        NODE,
        {"spec.taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule", "value": "b"}]},
        [
            'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"b","Effect":"NoSchedule","TimeAdded":null}: '
            "taints "
            "must be unique by key and effect pair"
        ],
    ),
    "a node's features are sorted": (
        NODE,
        {"status.declaredFeatures": ["B", "A"]},
        ['status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically'],
    ),
    "a node has a block of each family": (
        NODE,
        {"spec.podCIDRs": ["10.0.0.0/8", "10.0.0.1/8"]},
        [
            'spec.podCIDRs: Invalid value: ["10.0.0.0/8","10.0.0.1/8"]: may specify no more than one CIDR for each IP '
            "family",
            'spec.podCIDRs[1]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length',
        ],
    ),
    "a slice has addresses of its type": (
        SLICE,
        {"endpoints": [{"addresses": ["fd00::1", "x"], "hints": {"forZones": [{"name": "z"}, {"name": "z"}]}}]},
        [
            'endpoints[0].addresses: Invalid value: "fd00::1": must be an IPv4 address',
            'endpoints[0].addresses[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or '
            "2001:db8::ffff)",
            'endpoints[0].hints.forZones[1].name: Duplicate value: "z"',
        ],
    ),
    "endpoints are somewhere": (
        named("Endpoints", subsets=[{"ports": [{"port": 0, "protocol": "TCP"}]}]),
        {},
        [
            "subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
        ],
    ),
    "a lease holds for a time": (
        LEASE,
        {"spec.leaseDurationSeconds": 0, "spec.preferredHolder": "x"},
        [
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
        ],
    ),
    "a priority of users is at most a billion": (
        PRIORITY,
        {"value": 1_000_000_001},
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    ),
    "a priority of the system is known": (
        PRIORITY,
        {"metadata.name": "system-x"},
        [
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use "
            "only. error: "
            "system-x is not a known system priority class"
        ],
    ),
    "a runtime has a handler": (RUNTIME, {"handler": ""}, ["handler: Required value"]),
    "a namespace is in no namespace": (
        named("Namespace", spec={"finalizers": ["x"]}),
        {},
        [
            "metadata.namespace: Forbidden: not allowed on this type",
            'spec.finalizers: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified',
        ],
    ),
    "a binding of a pod says where": ({"kind": "Binding", "target": {}}, {}, ["target.name: Required value"]),
    "a token lives ten minutes or more": (
        {"kind": "TokenRequest", "spec": {"expirationSeconds": 5}},
        {},
        ["spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"],
    ),
}

CHANGED = {
    "what is immutable stays": (
        named("Secret", type="Opaque", immutable=True, data={"a": data("x")}),
        {"data": {}, "immutable": False},
        "",
        [
            "data: Forbidden: field is immutable when `immutable` is set",
            "immutable: Forbidden: field is immutable when `immutable` is set",
        ],
    ),
    "a Secret's type stays": (
        named("Secret", type="Opaque"),
        {"type": "x"},
        "",
        ['type: Invalid value: "x": field is immutable'],
    ),
    "a Service keeps its address": (
        SERVICE,
        {"spec.clusterIP": "10.96.0.8", "spec.clusterIPs": ["10.96.0.8"]},
        "",
        ['spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set'],
    ),
    "a Service may get a second family": (
        SERVICE,
        {
            "spec.clusterIPs": ["10.96.0.9", "fd00::9"],
            "spec.ipFamilies": ["IPv4", "IPv6"],
            "spec.ipFamilyPolicy": "PreferDualStack",
        },
        "",
        [],
    ),
    "a role of a binding stays": (
        BINDING,
        {"roleRef.name": "s"},
        "",
        [
            'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"s"}: cannot change '
            "roleRef"
        ],
    ),
    "a node's blocks are given once": (
        changed(NODE, {"spec.podCIDRs": ["10.0.0.0/24"], "spec.providerID": "x"}),
        {"spec.podCIDRs": ["10.0.1.0/24"], "spec.providerID": "y"},
        "",
        [
            'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
            'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
        ],
    ),
    "a node has each address once": (
        NODE,
        {"status.addresses": [{"type": "Hostname", "address": "n"}, {"type": "Hostname", "address": "n"}]},
        "status",
        ['status.addresses[1]: Duplicate value: {"Type":"Hostname","Address":"n"}'],
    ),
    "a namespace that ends is terminating": (
        named("Namespace", namespaced=False, status={"phase": "Active"}),
        {"status.phase": "Terminating"},
        "status",
        ["status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"],
    ),
    "what an Event said stays said": (
        NEW_EVENT,
        {"reason": "Broken", "regarding.name": "p"},
        "",
        [
            'involvedObject: Invalid value: {"Kind":"","Namespace":"n","Name":"p","UID":"","APIVersion":"",'
            '"ResourceVersion":"","FieldPath":""}: field is immutable',
            'reason: Invalid value: "Broken": field is immutable',
            'reason: Invalid value: "Broken": field is immutable',
        ],
    ),
    "an Event of the core group may say something else": (EVENT, {"reason": "Broken"}, "", []),
    "a priority stays": (PRIORITY, {"value": 6}, "", ["value: Forbidden: may not be changed in an update."]),
    "a slice keeps its type": (
        SLICE,
        {"addressType": "FQDN", "endpoints": [{"addresses": ["a.b."]}]},
        "",
        ['addressType: Invalid value: "FQDN": field is immutable'],
    ),
    "only a load balancer has one's address": (
        SERVICE,
        {"status.loadBalancer": {"ingress": [{"ip": "1.1.1.1"}]}},
        "status",
        ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"],
    ),
}


@pytest.mark.parametrize(("base", "changes", "expected"), rows(NEW))
def test_a_new_object(base: Object, changes: dict[str, Any], expected: list[str]) -> None:
    assert told(validate_create(base["kind"], changed(base, changes))) == sorted(expected)


@pytest.mark.parametrize(("old", "changes", "subresource", "expected"), rows(CHANGED))
def test_a_changed_object(old: Object, changes: dict[str, Any], subresource: str, expected: list[str]) -> None:
    assert told(validate_update(old["kind"], changed(old, changes), old, subresource)) == sorted(expected)
