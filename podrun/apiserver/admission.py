"""Admission over the store: Kubernetes' default plugins, given what they look up."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

from podrun.api.admission import Lookups, admit_pod, admit_pod_update
from podrun.api.errors import forbidden
from podrun.api.kinds import Kind
from podrun.api.pod import Pod
from podrun.api.podsecurity.admission import FINE, Verdict, judge_namespace, judge_pod, judge_template
from podrun.lifecycle.admission import resize_refusal
from podrun.store.store import Store

Object = dict[str, Any]

log = logging.getLogger(__name__)

PRIORITY_CLASSES = "priorityclasses.scheduling.k8s.io"
ACCOUNT_SECONDS = 1.0
"""How long a pod waits for its namespace's first account (the ServiceAccount plugin: ten looks, 100 ms apart)."""


async def await_account(store: Store, kind: Kind, namespace: str) -> None:
    """Return when the namespace of a pod to be made has its account, or will not get it in time.

    A manifest may hold a namespace and its pods: the account is made a moment after the namespace.
    """
    if kind.resource != "pods":
        return
    if store.get("namespaces", "", namespace) is None or store.get("serviceaccounts", namespace, "default"):
        return
    await store.until("serviceaccounts", lambda event: event.key[1:] == (namespace, "default"), ACCOUNT_SECONDS)


def admit_create(store: Store, kind: Kind, obj: Object) -> Object:
    """A new object as admission leaves it; raises Forbidden or what else refuses it."""
    if kind.resource == "nodes":
        return _taint_node(obj)
    if kind.resource == PRIORITY_CLASSES:
        _only_default(store, obj, "")
    if kind.resource != "pods":
        return obj
    namespace = obj["metadata"]["namespace"]
    return admit_pod(obj, namespace, _lookups(store, namespace))


def admit_update(store: Store, kind: Kind, new: Object, old: Object, subresource: str) -> Object:
    """A changed object as admission leaves it; raises Forbidden."""
    if kind.resource == "pods" and not subresource and new.get("spec"):
        return admit_pod_update(new, old)
    if kind.resource == "pods" and subresource == "resize":
        _admit_resize(store, new)
    if kind.resource == PRIORITY_CLASSES:
        _only_default(store, new, old["metadata"]["name"])
    return new


def check_pod_security(store: Store, kind: Kind, new: Object, old: Object | None, subresource: str) -> tuple[str, ...]:
    """The plugin PodSecurity, asked once the object is known to be valid: warnings; raises Forbidden or Invalid."""
    verdict = _pod_security(store, kind, new, old, subresource)
    if verdict.audit:
        log.info("audit: %s %s/%s %s", kind.resource, *map(new["metadata"].get, ("namespace", "name")), verdict.audit)
    if verdict.refusal is not None:
        raise verdict.refusal
    return verdict.warnings


def _pod_security(store: Store, kind: Kind, new: Object, old: Object | None, subresource: str) -> Verdict:
    metadata = new["metadata"]
    if kind.resource == "namespaces" and not subresource:
        return judge_namespace(new, old, store.list("pods", metadata["name"]) if old else ())
    if kind.resource not in ("pods", "podtemplates") or subresource == "status":
        return FINE
    namespace = store.get("namespaces", "", metadata["namespace"])
    if namespace is None:
        return FINE
    if kind.resource == "pods":
        return judge_pod(new, old, namespace)
    return judge_template(new.get("template") or {}, namespace)


def _only_default(store: Store, new: Object, own: str) -> None:
    """The plugin Priority: of all classes one may be everybody's default; `own` is the name of one that is changed."""
    marked = [one for one in store.list(PRIORITY_CLASSES) if one.get("globalDefault")]
    found = min(marked, key=lambda one: one.get("value", 0), default=None)
    if new.get("globalDefault") and found is not None and found["metadata"]["name"] != own:
        why = f"PriorityClass {found['metadata']['name']} is already marked as default. Only one default can exist"
        raise forbidden(PRIORITY_CLASSES, new["metadata"]["name"], why)


_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def _taint_node(node: Object) -> Object:
    """The plugin TaintNodesByCondition: nothing is put onto a new node before it says that it is ready."""
    spec = node.get("spec") or {}
    taints = spec.get("taints") or []
    if any(taint.get("key") == _NOT_READY["key"] and taint.get("effect") == "NoSchedule" for taint in taints):
        return node
    return {**node, "spec": {**spec, "taints": [*taints, dict(_NOT_READY)]}}


def _admit_resize(store: Store, pod: Object) -> None:
    """The plugin podresize: what the node could not hold alone is refused at once."""
    node = store.get("nodes", "", pod["spec"].get("nodeName", ""))
    allocatable = (node or {}).get("status", {}).get("allocatable", {})
    if (why := resize_refusal(Pod.of(pod), allocatable)) is not None:
        refused = forbidden("pods", pod["metadata"]["name"], why)
        raise replace(refused, details={**(refused.details or {}), "causes": [{"reason": "NodeCapacity"}]})


def _lookups(store: Store, namespace: str) -> Lookups:
    return Lookups(
        service_account=partial(store.get, "serviceaccounts", namespace),
        runtime_class=partial(store.get, "runtimeclasses.node.k8s.io", ""),
        priority_classes=partial(store.list, PRIORITY_CLASSES),
    )
