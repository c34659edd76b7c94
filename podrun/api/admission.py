"""What admission makes of a new pod, and which pods it forbids, as the API server's default plugins do.

`admit_pod` is ServiceAccount, Priority, DefaultTolerationSeconds and RuntimeClass, in that order; the first that
forbids ends it. The objects that the rules need are looked up through the functions given, so that everything here is a
function of its arguments (the random name of the token's volume apart, which is an argument too).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from podrun.api.errors import ApiError, forbidden, not_found
from podrun.api.gotext import quote
from podrun.api.names import generate_name
from podrun.api.quantity import Quantity

Object = dict[str, Any]

TOKEN_VOLUME = "kube-api-access-"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
"""An odd number: it marks tokens that nobody asked for by name."""

MIRROR = "kubernetes.io/config.mirror"
ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"
TOLERATION_SECONDS = 300

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


@dataclass(frozen=True, slots=True)
class Lookups:
    """How the plugins find what a pod names: an object, or None. Priority classes are listed for the default one."""

    service_account: Callable[[str], Object | None]
    runtime_class: Callable[[str], Object | None]
    priority_classes: Callable[[], Iterable[Object]]
    volume_name: Callable[[], str] = lambda: generate_name(TOKEN_VOLUME)


def admit_pod(pod: Object, namespace: str, lookups: Lookups) -> Object:
    """The pod (canonical, with defaults) as it will be validated and stored; raises ApiError 403."""
    made: Object = orjson.loads(orjson.dumps(pod))
    _service_account(made, namespace, lookups)
    _priority(made, lookups)
    made["spec"]["tolerations"] = with_default_tolerations(made["spec"].get("tolerations") or [])
    _runtime_class(made, lookups)
    return made


def admit_pod_update(pod: Object, old: Object) -> Object:
    """A changed pod as it will be validated: the priority that admission gave it stays, tolerations are completed."""
    spec, old_spec = dict(pod["spec"]), old["spec"]
    for name in ("priority", "preemptionPolicy"):
        if spec.get(name) is None and old_spec.get(name) is not None:
            spec[name] = old_spec[name]
    spec["tolerations"] = with_default_tolerations(spec.get("tolerations") or [])
    return {**pod, "spec": spec}


def with_default_tolerations(tolerations: list[Object]) -> list[Object]:
    """`tolerations`, and for five minutes those of a node that is not ready or not reachable, where none say it."""
    made = list(tolerations)
    for key in (NOT_READY, UNREACHABLE):
        known = any(
            one.get("key", "") in (key, "") and one.get("effect", "") in ("NoExecute", "") for one in tolerations
        )
        if not known:
            toleration = {"key": key, "operator": "Exists", "effect": "NoExecute"}
            made.append({**toleration, "tolerationSeconds": TOLERATION_SECONDS})
    return made


def attribute_name(obj: Object) -> str:
    """What a refusal calls an object whose name is not made yet."""
    meta = obj.get("metadata") or {}
    return meta.get("name") or meta.get("generateName") or "Unknown"


def _refuse(pod: Object, why: str) -> ApiError:
    return forbidden("pods", attribute_name(pod), why)


# ServiceAccount


def _service_account(pod: Object, namespace: str, lookups: Lookups) -> None:
    spec = pod["spec"]
    if MIRROR in (pod["metadata"].get("annotations") or {}):
        _check_mirror(pod)
        return
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = lookups.service_account(name)
    if account is None:
        missing = not_found("serviceaccount", name).message
        raise _refuse(pod, f"error looking up service account {namespace}/{name}: {missing}")
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if wanted:
        _mount_token(spec, lookups.volume_name)
    if not spec.get("imagePullSecrets"):
        secrets = [{"name": one.get("name", "")} for one in account.get("imagePullSecrets") or ()]
        spec.pop("imagePullSecrets", None)
        if secrets:
            spec["imagePullSecrets"] = secrets
    if (account["metadata"].get("annotations") or {}).get(ENFORCE_MOUNTABLE) in _TRUE:
        _check_mountable(pod, account)


def _mount_token(spec: Object, volume_name: Callable[[], str]) -> None:
    volumes = spec.get("volumes") or []
    existing = next((one["name"] for one in volumes if one["name"].startswith(TOKEN_VOLUME)), "")
    name = existing or volume_name()
    mount = {"name": name, "readOnly": True, "mountPath": TOKEN_PATH}
    needed = False
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        mounts = container.get("volumeMounts") or []
        if all(one.get("mountPath") != TOKEN_PATH for one in mounts):
            container["volumeMounts"] = [*mounts, mount]
            needed = True
    if needed and not existing:
        spec["volumes"] = [*volumes, {"name": name, "projected": token_volume_source()}]


def token_volume_source() -> Object:
    """The projected volume that pods are given: a token, the API's certificate authority, the namespace."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 0o644,
    }


def _check_mirror(pod: Object) -> None:
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        raise _refuse(pod, "a mirror pod may not reference service accounts")
    volumes = spec.get("volumes") or ()
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    if spec.get("imagePullSecrets") or _volume_secrets(pod) or any(_container_secrets(one) for one in containers):
        raise _refuse(pod, "a mirror pod may not reference secrets")
    for volume in volumes:
        if any("serviceAccountToken" in source for source in (volume.get("projected") or {}).get("sources") or ()):
            raise _refuse(pod, "a mirror pod may not use ServiceAccountToken volume projections")


def _volume_secrets(pod: Object) -> list[str]:
    return [one["secret"].get("secretName", "") for one in pod["spec"].get("volumes") or () if "secret" in one]


def _container_secrets(container: Object) -> list[tuple[str, str]]:
    """The secrets that a container's environment reads, with how a refusal describes the place."""
    found = []
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if reference is not None:
            found.append((reference.get("name", ""), f"envVar {variable['name']}"))
    sources = [one["secretRef"] for one in container.get("envFrom") or () if "secretRef" in one]
    return found + [(one.get("name", ""), "envFrom") for one in sources]


def _check_mountable(pod: Object, account: Object) -> None:
    name = account["metadata"]["name"]
    mountable = {one.get("name") for one in account.get("secrets") or ()}
    suffix = f"is not allowed because service account {name} does not reference that secret"
    for secret in _volume_secrets(pod):
        if secret not in mountable:
            raise _refuse(pod, f'volume with secret.secretName="{secret}" {suffix}')
    for group, word in (("initContainers", "init container"), ("containers", "container")):
        for container in pod["spec"].get(group) or ():
            for secret, place in _container_secrets(container):
                if secret not in mountable:
                    where = f"{word} {container['name']} with {place} referencing"
                    raise _refuse(pod, f'{where} secret.secretName="{secret}" {suffix}')
    pulled = {one.get("name") for one in account.get("imagePullSecrets") or ()}
    for index, one in enumerate(pod["spec"].get("imagePullSecrets") or ()):
        if one.get("name") not in pulled:
            why = f"is not allowed because service account {name} does not reference that imagePullSecret"
            raise _refuse(pod, f'imagePullSecrets[{index}].name="{one.get("name")}" {why}')


# Priority


def _priority(pod: Object, lookups: Lookups) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName")
    value, policy = 0, "PreemptLowerPriority"
    if name:
        found = next((one for one in lookups.priority_classes() if one["metadata"]["name"] == name), None)
        if found is None:
            raise _refuse(pod, f"no PriorityClass with name {name} was found")
    else:
        marked = [one for one in lookups.priority_classes() if one.get("globalDefault")]
        found = min(marked, key=lambda one: one.get("value", 0), default=None)
    if found is not None:
        spec["priorityClassName"] = found["metadata"]["name"]
        value, policy = found.get("value", 0), found.get("preemptionPolicy", policy)
    given = spec.get("priority")
    if given is not None and given != value:
        why = "must not be provided in pod spec; priority admission controller computed"
        raise _refuse(pod, f"the integer value of priority ({given}) {why} {value} from the given PriorityClass name")
    spec["priority"] = value
    asked = spec.get("preemptionPolicy")
    if asked is not None and asked != policy:
        why = "must not be provided in pod spec; priority admission controller computed"
        message = f"the string value of PreemptionPolicy ({asked}) {why} {policy} from the given PriorityClass name"
        raise _refuse(pod, message)
    spec["preemptionPolicy"] = policy


# RuntimeClass


def _runtime_class(pod: Object, lookups: Lookups) -> None:
    spec = pod["spec"]
    name = spec.get("runtimeClassName")
    found = None
    if name is not None:
        found = lookups.runtime_class(name)
        if found is None:
            raise _refuse(pod, f"pod rejected: RuntimeClass {quote(name)} not found")
    overhead = ((found or {}).get("overhead") or {}).get("podFixed")
    given = spec.get("overhead")
    if found is None or "overhead" not in found:
        if given is not None:
            raise _refuse(pod, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
    else:
        if given and _amounts(given) != _amounts(overhead or {}):
            raise _refuse(pod, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        spec["overhead"] = overhead or {}
    scheduling = (found or {}).get("scheduling") or {}
    selector = scheduling.get("nodeSelector") or {}
    own = spec.get("nodeSelector") or {}
    for key, value in sorted(selector.items()):
        if own.get(key, value) != value:
            ours = f"runtimeClass.scheduling.nodeSelector[{key}] = {value}"
            raise _refuse(pod, f"conflict: {ours}; pod.spec.nodeSelector[{key}] = {own[key]}")
    if selector:
        spec["nodeSelector"] = {**own, **selector}
    for toleration in scheduling.get("tolerations") or ():
        if toleration not in spec["tolerations"]:
            spec["tolerations"] = [*spec["tolerations"], toleration]


def _amounts(listed: dict[str, str]) -> dict[str, Quantity]:
    return {name: Quantity.of(value) for name, value in listed.items()}
