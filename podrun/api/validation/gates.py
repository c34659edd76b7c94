"""Fields that are in the API of Kubernetes 1.36 but behind feature gates that are off by default.

The API server takes them out of what is written, before it validates, without a word; only `managedFields` still tells
of them (recorded in reference/api/refusals-probes.json, case "stopSignal").
"""

from __future__ import annotations

from typing import Any

from podrun.api.validation.read import Object, items, mapping, optional_mapping

DISABLED_OF_SPECS = ("schedulingGroup", "workloadRef")
"""GenericWorkload."""
DISABLED_OF_LEASES = ("strategy", "preferredHolder")
"""CoordinatedLeaderElection."""
DISABLED_SOURCES = ("clusterTrustBundle", "podCertificate")
"""Of projected volumes: ClusterTrustBundleProjection and PodCertificateRequest."""
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def without_disabled_fields(kind: str, obj: Object) -> Object:
    """`obj` without the fields that 1.36 ignores; the same object where there are none.

    Only Pods, PodTemplates and Leases have such fields.
    """
    if kind == "Pod":
        spec = mapping(obj, "spec")
        kept = spec_without_disabled(spec)
        return obj if kept is spec else obj | {"spec": kept}
    if kind == "PodTemplate":
        template = mapping(obj, "template")
        kept = without_disabled_fields("Pod", template)
        return obj if kept is template else obj | {"template": kept}
    if kind == "Lease" and any(name in mapping(obj, "spec") for name in DISABLED_OF_LEASES):
        kept = {name: value for name, value in mapping(obj, "spec").items() if name not in DISABLED_OF_LEASES}
        return obj | {"spec": kept}
    return obj


def spec_without_disabled(spec: Object) -> Object:
    changed: dict[str, Any] = {}
    for name in CONTAINER_LISTS:
        listed = items(spec, name)
        kept = [without_stop_signal(one) for one in listed]
        if any(new is not old for new, old in zip(kept, listed, strict=True)):
            changed[name] = kept
    volumes = items(spec, "volumes")
    kept_volumes = [without_disabled_sources(one) for one in volumes]
    if any(new is not old for new, old in zip(kept_volumes, volumes, strict=True)):
        changed["volumes"] = kept_volumes
    if not changed and not any(name in spec for name in DISABLED_OF_SPECS):
        return spec
    return {name: value for name, value in (spec | changed).items() if name not in DISABLED_OF_SPECS}


def without_stop_signal(container: Object) -> Object:
    """ContainerStopSignals: a lifecycle that held nothing else goes with it."""
    lifecycle = optional_mapping(container, "lifecycle")
    if lifecycle is None or "stopSignal" not in lifecycle:
        return container
    kept = {name: value for name, value in lifecycle.items() if name != "stopSignal"}
    rest = {name: value for name, value in container.items() if name != "lifecycle"}
    return rest | {"lifecycle": kept} if kept else rest


def without_disabled_sources(volume: Object) -> Object:
    """An empty source stays where a disabled one was."""
    projected = optional_mapping(volume, "projected")
    sources = items(projected or {}, "sources")
    if not any(name in source for source in sources for name in DISABLED_SOURCES):
        return volume
    kept = [{name: value for name, value in source.items() if name not in DISABLED_SOURCES} for source in sources]
    return volume | {"projected": (projected or {}) | {"sources": kept}}
