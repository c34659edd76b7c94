"""What hangs below objects, and what is created without being stored: bindings, evictions, tokens, reviews, streams.

`/status`, `/ephemeralcontainers`, `/resize` and `/finalize` are the object itself seen through another strategy: they
take the generic path. The rest have answers of their own.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from aiohttp import web

from podrun.api import names, validation
from podrun.api.defaults import apply_defaults
from podrun.api.disruption import BY_EVICTION_API
from podrun.api.errors import (
    ApiError,
    Cause,
    bad_request,
    conflict,
    invalid,
    method_not_allowed,
    not_found,
    unclassified,
)
from podrun.api.gotext import quote
from podrun.api.gvk import KindRef
from podrun.api.kinds import BY_KIND, KINDS, Kind
from podrun.apiserver.answers import answer_object, answer_status, refusal, success
from podrun.apiserver.authentication import Authenticator
from podrun.apiserver.authorization import Authorizer
from podrun.apiserver.call import Call
from podrun.apiserver.lists import get_one
from podrun.apiserver.negotiation import negotiate
from podrun.apiserver.node_proxy import proxy
from podrun.apiserver.options import checked_options, write_options
from podrun.apiserver.requestinfo import RequestInfo
from podrun.apiserver.reviews import Reviews
from podrun.apiserver.streams.attach import attach, execute
from podrun.apiserver.streams.logs import logs
from podrun.apiserver.streams.pods import PodAccess
from podrun.apiserver.streams.portforward import port_forward
from podrun.apiserver.tokens import Bound, TokenSigner
from podrun.apiserver.users import User
from podrun.apiserver.writes import Writes
from podrun.store.deleting import disrupt

Object = dict[str, Any]

TOKEN_SECONDS = 3600
SHORTEST_TOKEN = 600
LONGEST_TOKEN = 1 << 32
_TYPES = {
    "pods/binding": Kind("bindings", "Binding", stored=False),
    "pods/eviction": Kind("evictions", "Eviction", "policy", stored=False),
    "serviceaccounts/token": Kind("tokenrequests", "TokenRequest", "authentication.k8s.io", stored=False),
}
_CONNECTIONS = {"pods/attach": attach, "pods/exec": execute, "pods/portforward": port_forward}


class Subresources:
    """Answers subresources and kinds that are not stored."""

    def __init__(
        self,
        writes: Writes,
        signer: TokenSigner,
        authenticator: Authenticator,
        authorizer: Authorizer,
        pods: PodAccess | None,
    ) -> None:
        self._writes = writes
        self._store = writes.store
        self._signer = signer
        self._authorizer = authorizer
        self._reviews = Reviews(authenticator, authorizer)
        self.pods = pods

    async def answer(self, request: web.Request, info: RequestInfo, user: User, kind: Kind) -> web.StreamResponse:
        """Answer a request to `kind`/`info.subresource`, which the table has."""
        sub = kind.subresources[info.subresource]
        if info.verb not in sub.verbs or request.method == "HEAD":
            raise method_not_allowed()
        path = f"{kind.resource}/{info.subresource}"
        if path in _CONNECTIONS:
            self._check_create(user, info)
            return await _CONNECTIONS[path](request, self._find(kind, info), self.pods)
        if path == "nodes/proxy":
            return proxy(self._find(kind, info), info.rest, self.pods)
        if path == "pods/log":
            return await logs(request, self._find(kind, info), self.pods)
        form = negotiate(request.headers.get("Accept", ""))
        call = Call(request, info, user, _TYPES.get(path, kind), form)
        try:
            return await self._plain(call, path, kind)
        except ApiError as error:
            return refusal(error, call.warnings)

    def _check_create(self, user: User, info: RequestInfo) -> None:
        """A WebSocket is a GET, but who may only read must not run commands (Kubernetes issue 133515, since 1.35)."""
        self._authorizer.check(user, replace(info, verb="create"))

    async def _plain(self, call: Call, path: str, kind: Kind) -> web.StreamResponse:
        match path:
            case "pods/binding":
                return await self._bind(call, call.info.name)
            case "pods/eviction":
                return await self._evict(call)
            case "serviceaccounts/token":
                return await self._token(call, self._find(kind, call.info))
        match call.info.verb:
            case "get":
                return await get_one(self._store, call)
            case "update":
                return await self._writes.update(call)
        return await self._writes.patch(call)

    def _find(self, kind: Kind, info: RequestInfo) -> Object:
        found = self._store.get(kind.resource, info.namespace if kind.namespaced else "", info.name)
        if found is None:
            raise not_found(kind.resource, info.name)
        return found

    # Kinds that are not stored

    async def create_virtual(self, call: Call) -> web.StreamResponse:
        """POST of a binding or of a review."""
        if call.kind.kind == "Binding":
            return await self._bind(call, "")
        _, managed = await self._sent(call)
        status = self._reviews.status(call.kind.kind, managed, call.user, call.namespace)
        if call.kind.kind == "SelfSubjectReview":
            created = {"creationTimestamp": names.rfc3339(time.time())}
            managed = {**managed, "metadata": {**managed["metadata"], **created}}
        elif call.kind.kind == "SelfSubjectRulesReview":
            # The answer is made anew; of the question it repeats nothing.
            managed = {"kind": call.kind.kind, "apiVersion": call.kind.api_version, "metadata": {}, "spec": {}}
        return await answer_object(call, {**managed, "status": status}, code=201)

    async def _sent(self, call: Call) -> tuple[Object, Object]:
        """The body's object with defaults, plain and with managed fields as the answer shows them."""
        options = write_options(call, "CreateOptions")
        obj = await self._writes.body(call, options.field_validation)
        obj = self._writes.registry.check_names(call, obj)
        obj = apply_defaults(KindRef(call.kind.group, call.kind.version, call.kind.kind), obj)
        return obj, self._writes.registry.with_managed_fields(call, None, obj, time.time())

    # Pods

    async def _bind(self, call: Call, name: str) -> web.StreamResponse:
        """Put a pod on a node, as a scheduler does."""
        obj, _ = await self._sent(call)
        metadata = obj["metadata"]
        if name and metadata.get("name", "") != name:
            raise bad_request("name in URL does not match name in Binding object")
        causes = validation.validate_create("Binding", obj)
        if causes:
            # Kubernetes passes these on without a class of their own.
            texts = [f"{cause.field}: {cause.message}" for cause in causes]
            raise unclassified(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        name = name or metadata.get("name", "")
        if not name:
            raise bad_request("Name parameter required.")
        node = obj["target"]["name"]

        def bound(pod: Object) -> Object:
            uid = metadata.get("uid")
            if uid and uid != pod["metadata"]["uid"]:
                raise conflict("pods/binding", name, f"the UID in the binding ({uid}) is not the pod's")
            if "deletionTimestamp" in pod["metadata"]:
                raise conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
            taken = pod["spec"].get("nodeName")
            if taken:
                raise conflict("pods/binding", name, f"pod {name} is already assigned to node {quote(taken)}")
            if pod["spec"].get("schedulingGates"):
                raise conflict("pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")
            return with_node(_marked(pod, metadata), node, names.rfc3339(time.time()))

        if call.dry_run:
            current = self._find(KINDS["pods"], RequestInfo("", "", namespace=call.info.namespace, name=name))
            bound(current)
        else:
            await self._store.modify("pods", call.info.namespace, name, bound)
        return await answer_status(call, {**success(), "code": 201}, code=201)

    async def _evict(self, call: Call) -> web.StreamResponse:
        """Delete a pod as `kubectl drain` asks for it; no disruption budgets are kept here that could forbid it."""
        obj, _ = await self._sent(call)
        if obj["metadata"].get("name", "") != call.info.name:
            raise bad_request("name in URL does not match name in Eviction object")
        options = checked_options(obj.get("deleteOptions") or {})
        if not call.dry_run and not options.dry_run:
            key = (call.info.namespace, call.info.name)
            await disrupt(self._store, *key, BY_EVICTION_API, options, time.time())
        elif self._store.get("pods", call.info.namespace, call.info.name) is None:
            raise not_found("pods", call.info.name)
        return await answer_status(call, {**success(), "code": 201}, code=201)

    # Service accounts

    async def _token(self, call: Call, account: Object) -> web.StreamResponse:
        """A token for a ServiceAccount (TokenRequest)."""
        obj, managed = await self._sent(call)
        given = obj["metadata"].get("name", "")
        if given not in ("", call.info.name):
            why = f"Invalid value: {quote(given)}: must match the service account name if specified"
            cause = Cause("FieldValueInvalid", why, "metadata.name")
            raise invalid("TokenRequest.authentication.k8s.io", call.info.name, [cause])
        spec = obj.get("spec") or {}
        seconds = spec.get("expirationSeconds", TOKEN_SECONDS)
        causes = list(_expiry_causes(seconds))
        if causes:
            raise invalid("TokenRequest.authentication.k8s.io", "", causes)
        bound = self._bound(call, spec.get("boundObjectRef"))
        now = time.time()
        audiences = spec.get("audiences") or [self._signer.issuer]
        token = self._signer.issue(account, audiences, seconds, bound=bound, now=now)
        made = {**managed, "metadata": {**account_metadata(account, now), **managed["metadata"]}}
        made["spec"] = {**spec, "audiences": audiences, "expirationSeconds": seconds}
        made["status"] = {"token": token, "expirationTimestamp": names.rfc3339(int(now) + seconds)}
        return await answer_object(call, made, code=201)

    def _bound(self, call: Call, reference: Object | None) -> Bound | None:
        if reference is None:
            return None
        kind, name = reference.get("kind", ""), reference.get("name", "")
        group, _, version = reference.get("apiVersion", "").rpartition("/")
        served = BY_KIND.get((group, version or "v1", kind))
        if served is None or served.resource not in ("pods", "secrets", "nodes"):
            raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        found = self._store.get(served.resource, call.info.namespace if served.namespaced else "", name)
        if found is None:
            raise not_found(served.resource, name)
        uid = reference.get("uid") or found["metadata"]["uid"]
        if uid != found["metadata"]["uid"]:
            why = f"the UID in the bound object reference ({uid}) does not match the UID in record"
            raise conflict(served.resource, name, f"{why}. The object might have been deleted and then recreated")
        return Bound(kind, name, uid)


def _marked(pod: Object, metadata: Object) -> Object:
    """A pod with the labels and annotations that its Binding brings."""
    made = dict(pod["metadata"])
    for name in ("labels", "annotations"):
        if metadata.get(name):
            made[name] = {**(made.get(name) or {}), **metadata[name]}
    return {**pod, "metadata": made}


def with_node(pod: Object, node: str, now: str) -> Object:
    """A pod that has been assigned to a node, with the condition that says so."""
    status = pod.get("status") or {}
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    others = [one for one in status.get("conditions") or [] if one.get("type") != "PodScheduled"]
    return {
        **pod,
        "spec": {**pod["spec"], "nodeName": node},
        "status": {**status, "conditions": [*others, scheduled]},
    }


def account_metadata(account: Object, now: float) -> Object:
    """What the answer to a TokenRequest says of its account, and of itself."""
    named = {key: account["metadata"][key] for key in ("name", "namespace")}
    return {**named, "uid": names.new_uid(), "creationTimestamp": names.rfc3339(now)}


def _expiry_causes(seconds: int) -> list[Cause]:
    path, value = "spec.expirationSeconds", f"Invalid value: {seconds}"
    if seconds < SHORTEST_TOKEN:
        return [Cause("FieldValueInvalid", f"{value}: may not specify a duration less than 10 minutes", path)]
    if seconds > LONGEST_TOKEN:
        return [Cause("FieldValueInvalid", f"{value}: may not specify a duration larger than 2^32 seconds", path)]
    return []
