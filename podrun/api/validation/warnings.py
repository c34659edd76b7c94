"""What is accepted but should not have been written: the texts of `Warning: 299` headers.

Sources: pkg/api/*/warnings.go, pkg/api/node/util.go and the strategies of pkg/registry. A Pod is only warned of when it
is made, not when it changes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from podrun.api.validation.addresses import block_spelling_warnings, spelling_warnings
from podrun.api.validation.field import Path
from podrun.api.validation.key_pairs import key_pair_problem
from podrun.api.validation.names import dns_label
from podrun.api.validation.node_labels import DEPRECATED
from podrun.api.validation.pod_warnings import pod_spec_warnings
from podrun.api.validation.read import Object, has, items, mapping, strings, text, texts

MOUNTABLE_SECRETS = "kubernetes.io/enforce-mountable-secrets"
TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
OWN_SLICES = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
OWN_ENDPOINTS = ("endpoints.kubernetes.io/managed-by", "endpoint-controller")
SPEC = Path("spec")


def pod(new: Object, old: Object | None) -> Iterator[str]:
    if old is not None:
        return
    problems = dns_label(text(mapping(new, "metadata"), "name"))
    if problems:
        yield (
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(problems)}]"
        )
    yield from pod_spec_warnings(new, Path(""))


def pod_template(new: Object, old: Object | None) -> Iterator[str]:
    yield from pod_spec_warnings(mapping(new, "template"), Path("template"))


def secret(new: Object, old: Object | None) -> Iterator[str]:
    """A key that is not that of the certificate beside it."""
    if text(new, "type") != "kubernetes.io/tls":
        return
    data = texts(new, "data")
    try:
        certificate, key = (base64.b64decode(data.get(name, "")) for name in ("tls.crt", "tls.key"))
    except (binascii.Error, ValueError):
        return
    problem = key_pair_problem(certificate, key)
    if problem:
        yield problem


def service_account(new: Object, old: Object | None) -> Iterator[str]:
    before = texts(mapping(old or {}, "metadata"), "annotations")
    if MOUNTABLE_SECRETS in texts(mapping(new, "metadata"), "annotations") and MOUNTABLE_SECRETS not in before:
        why = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        yield f"metadata.annotations[{MOUNTABLE_SECRETS}]: {why}"


def node(new: Object, old: Object | None) -> Iterator[str]:
    spec = mapping(new, "spec")
    if has(spec, "configSource"):
        yield "spec.configSource: the feature is removed"
    if text(spec, "externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for position, value in enumerate(strings(spec, "podCIDRs")):
        yield from block_spelling_warnings(SPEC.child("podCIDRs").at(position), value)


def service(new: Object, old: Object | None) -> Iterator[str]:
    spec = mapping(new, "spec")
    kind, external = text(spec, "type"), strings(spec, "externalIPs")
    headless = kind == "ClusterIP" and text(spec, "clusterIP") == "None"
    if TOPOLOGY_HINTS in texts(mapping(new, "metadata"), "annotations"):
        yield f"annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"
    if text(spec, "clusterIP") not in ("", "None"):
        for position, value in enumerate(strings(spec, "clusterIPs")):
            yield from spelling_warnings(SPEC.child("clusterIPs").at(position), value)
    if headless:
        if text(spec, "loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if external:
            yield "spec.externalIPs is ignored for headless services"
        if text(spec, "sessionAffinity") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    for position, value in enumerate(external):
        yield from spelling_warnings(SPEC.child("externalIPs").at(position), value)
    if external and not headless and kind != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    yield from spelling_warnings(SPEC.child("loadBalancerIP"), text(spec, "loadBalancerIP"))
    for position, value in enumerate(strings(spec, "loadBalancerSourceRanges")):
        yield from block_spelling_warnings(SPEC.child("loadBalancerSourceRanges").at(position), value)
    if kind == "ExternalName" and external:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and text(spec, "externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if text(spec, "trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def endpoints(new: Object, old: Object | None) -> Iterator[str]:
    if texts(mapping(new, "metadata"), "labels").get(OWN_ENDPOINTS[0]) == OWN_ENDPOINTS[1]:
        return
    for position, subset in enumerate(items(new, "subsets")):
        for kind in ("addresses", "notReadyAddresses"):
            for index, one in enumerate(items(subset, kind)):
                path = Path("subsets").at(position).child(kind).at(index).child("ip")
                yield from spelling_warnings(path, text(one, "ip"))


def endpoint_slice(new: Object, old: Object | None) -> Iterator[str]:
    if old is None and text(new, "addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    if texts(mapping(new, "metadata"), "labels").get(MANAGED_BY) in OWN_SLICES:
        return
    for position, one in enumerate(items(new, "endpoints")):
        for index, value in enumerate(strings(one, "addresses")):
            yield from spelling_warnings(Path("endpoints").at(position).child("addresses").at(index), value)


def runtime_class(new: Object, old: Object | None) -> Iterator[str]:
    for key in texts(mapping(new, "scheduling"), "nodeSelector"):
        if key in DEPRECATED:
            yield f"scheduling.nodeSelector: {DEPRECATED[key]}"
