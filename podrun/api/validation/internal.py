"""Values of Kubernetes' internal types as its messages show them.

A refused object (a security context, a port of a Service) stands in the message as JSON of the *internal* Go struct:
with the Go names of its fields, in their order, and with everything that is not set. `internal("Taint", taint)` makes
that of an object as it is on the wire. (pkg/apis/core/types.go; only what some message shows is listed here.)
"""

from __future__ import annotations

from typing import Any

from podrun.api.validation.read import Object

FIELDS: dict[str, tuple[tuple[str, str, Any], ...]] = {
    # Go name, name on the wire, and what stands there when the field is not set;
    # a string that begins with "*" names the type of an object, one with "[]" that of a list's elements
    "Capabilities": (("Add", "add", None), ("Drop", "drop", None)),
    "SELinuxOptions": (("User", "user", ""), ("Role", "role", ""), ("Type", "type", ""), ("Level", "level", "")),
    "WindowsSecurityContextOptions": (
        ("GMSACredentialSpecName", "gmsaCredentialSpecName", None),
        ("GMSACredentialSpec", "gmsaCredentialSpec", None),
        ("RunAsUserName", "runAsUserName", None),
        ("HostProcess", "hostProcess", None),
    ),
    "Profile": (("Type", "type", ""), ("LocalhostProfile", "localhostProfile", None)),
    "SecurityContext": (
        ("Capabilities", "capabilities", "*Capabilities"),
        ("Privileged", "privileged", None),
        ("SELinuxOptions", "seLinuxOptions", "*SELinuxOptions"),
        ("WindowsOptions", "windowsOptions", "*WindowsSecurityContextOptions"),
        ("RunAsUser", "runAsUser", None),
        ("RunAsGroup", "runAsGroup", None),
        ("RunAsNonRoot", "runAsNonRoot", None),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem", None),
        ("AllowPrivilegeEscalation", "allowPrivilegeEscalation", None),
        ("ProcMount", "procMount", None),
        ("SeccompProfile", "seccompProfile", "*Profile"),
        ("AppArmorProfile", "appArmorProfile", "*Profile"),
    ),
    "ServicePort": (
        ("Name", "name", ""),
        ("Protocol", "protocol", ""),
        ("AppProtocol", "appProtocol", None),
        ("Port", "port", 0),
        ("TargetPort", "targetPort", 0),
        ("NodePort", "nodePort", 0),
    ),
    "PodResourceClaim": (
        ("Name", "name", ""),
        ("ResourceClaimName", "resourceClaimName", None),
        ("ResourceClaimTemplateName", "resourceClaimTemplateName", None),
    ),
    "Taint": (("Key", "key", ""), ("Value", "value", ""), ("Effect", "effect", ""), ("TimeAdded", "timeAdded", None)),
    "Toleration": (
        ("Key", "key", ""),
        ("Operator", "operator", ""),
        ("Value", "value", ""),
        ("Effect", "effect", ""),
        ("TolerationSeconds", "tolerationSeconds", None),
    ),
    "NodeAddress": (("Type", "type", ""), ("Address", "address", "")),
    "IP": (("IP", "ip", ""),),
    "NodeSelectorRequirement": (("Key", "key", ""), ("Operator", "operator", ""), ("Values", "values", None)),
    "NodeSelectorTerm": (
        ("MatchExpressions", "matchExpressions", "[]NodeSelectorRequirement"),
        ("MatchFields", "matchFields", "[]NodeSelectorRequirement"),
    ),
    "ObjectReference": (
        ("Kind", "kind", ""),
        ("Namespace", "namespace", ""),
        ("Name", "name", ""),
        ("UID", "uid", ""),
        ("APIVersion", "apiVersion", ""),
        ("ResourceVersion", "resourceVersion", ""),
        ("FieldPath", "fieldPath", ""),
    ),
    "EventSource": (("Component", "component", ""), ("Host", "host", "")),
    "RoleRef": (("APIGroup", "apiGroup", ""), ("Kind", "kind", ""), ("Name", "name", "")),
}


def internal(kind: str, obj: Object) -> Object:
    """`obj` as the internal type `kind` is written in messages."""
    shown: Object = {}
    for go_name, name, absent in FIELDS[kind]:
        value = obj.get(name)
        if not isinstance(absent, str) or not absent:
            shown[go_name] = absent if value is None else value
        elif absent.startswith("*"):
            shown[go_name] = internal(absent[1:], value) if isinstance(value, dict) else None
        else:
            shown[go_name] = internal_list(absent[2:], value) if isinstance(value, list) else None
    return shown


def internal_list(kind: str, values: list[Any]) -> list[Object]:
    """A list of objects, each as the internal type `kind` is written."""
    return [internal(kind, one if isinstance(one, dict) else {}) for one in values]
