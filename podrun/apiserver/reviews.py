"""Reviews: questions that are answered at once and kept nowhere (who am I, may I, is this token good)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from podrun.api.errors import ApiError, Cause, bad_request, invalid
from podrun.api.gotext import compact_json, quote
from podrun.apiserver.authentication import Authenticator
from podrun.apiserver.authorization import Authorizer
from podrun.apiserver.requestinfo import RequestInfo
from podrun.apiserver.users import User

Object = dict[str, Any]

_ONE_OF = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
_SOMEBODY = "at least one of user or group must be specified"


class Reviews:
    """Answers every kind of review for a caller."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer

    def status(self, kind: str, obj: Object, user: User, namespace: str) -> Object:
        """The status of a review of `kind`; raises Invalid for a question that is none."""
        spec = obj.get("spec") or {}
        match kind:
            case "SelfSubjectReview":
                return {"userInfo": user_info(user)}
            case "TokenReview":
                return self._token(spec)
            case "SelfSubjectRulesReview":
                return self._rules(spec, user)
            case "SelfSubjectAccessReview":
                _refuse(obj, access_mistakes(spec))
                return self._access(spec, user)
        mistakes = access_mistakes(spec)
        if not spec.get("user") and not spec.get("groups"):
            mistakes.append(Cause("FieldValueInvalid", f'Invalid value: "": {_SOMEBODY}', "spec.user"))
        if kind == "LocalSubjectAccessReview":
            mistakes += _elsewhere(spec, namespace)
        _refuse(obj, mistakes)
        groups = tuple(spec.get("groups") or ())
        return self._access(spec, User(spec.get("user", ""), groups, spec.get("uid", "")))

    def _access(self, spec: Object, user: User) -> Object:
        allowed, why = self._authorizer.verdict(user, _question(spec))
        return {"allowed": allowed, "reason": why} if why else {"allowed": allowed}

    def _token(self, spec: Object) -> Object:
        if not spec.get("token"):
            raise bad_request("token is required for TokenReview in authentication")
        try:
            user, claims = self._authenticator.token_user(spec["token"], spec.get("audiences") or ())
        except ApiError:
            return {"user": {}, "error": "invalid bearer token"}
        audiences = list(claims.audiences) if claims is not None else []
        return {"authenticated": True, "user": user_info(user), "audiences": audiences}

    def _rules(self, spec: Object, user: User) -> Object:
        namespace = spec.get("namespace", "")
        if not namespace:
            raise bad_request("no namespace on request")
        resources, paths = [], []
        for rule in self._authorizer.rules(user, namespace):
            if rule.get("resources"):
                resources.append(_kept(rule, ("verbs", "apiGroups", "resources", "resourceNames")))
            if rule.get("nonResourceURLs"):
                paths.append(_kept(rule, ("verbs", "nonResourceURLs")))
        return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}


def user_info(user: User) -> Object:
    """A user as authentication.k8s.io shows it."""
    shown: Object = {"username": user.name}
    if user.uid:
        shown["uid"] = user.uid
    if user.groups:
        shown["groups"] = list(dict.fromkeys(user.groups))
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra.items()}
    return shown


def access_mistakes(spec: Object) -> list[Cause]:
    """What is wrong with the question of an access review: it is about a resource or about a path.

    Source: pkg/apis/authorization/validation.
    """
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        why = f"Invalid value: {_shown(path)}: cannot be specified in combination with resourceAttributes"
        return [Cause("FieldValueInvalid", why, "spec.nonResourceAttributes")]
    if resource is None and path is None:
        return [Cause("FieldValueInvalid", f"Invalid value: null: {_ONE_OF}", "spec.resourceAttributes")]
    found: list[Cause] = []
    for name in ("fieldSelector", "labelSelector"):
        selector = (resource or {}).get(name)
        if selector is not None:
            found += _selector_mistakes(selector, f"spec.resourceAttributes.{name}")
    return found


def _selector_mistakes(selector: Object, field: str) -> list[Cause]:
    raw, requirements = selector.get("rawSelector", ""), selector.get("requirements") or []
    if raw and requirements:
        why = f"Invalid value: {quote(raw)}: may not specified at the same time as requirements"
        return [Cause("FieldValueInvalid", why, f"{field}.rawSelector")]
    if not raw and not requirements:
        why = f"Required value: when {field} is specified, requirements or rawSelector is required"
        return [Cause("FieldValueRequired", why, f"{field}.requirements")]
    return []


def _elsewhere(spec: Object, namespace: str) -> list[Cause]:
    """A local review asks about its own namespace."""
    path, resource = spec.get("nonResourceAttributes"), spec.get("resourceAttributes")
    if path is not None:
        why = f"Invalid value: {_shown(path)}: disallowed on this kind of request"
        return [Cause("FieldValueInvalid", why, "spec.nonResourceAttributes")]
    asked = (resource or {}).get("namespace", "")
    if resource is None or asked == namespace:
        return []
    why = f"Invalid value: {quote(asked)}: must match metadata.namespace"
    return [Cause("FieldValueInvalid", why, "spec.resourceAttributes.namespace")]


def _shown(path: Object) -> str:
    return f'{{"Path":{quote(path.get("path", ""))},"Verb":{quote(path.get("verb", ""))}}}'


def _refuse(obj: Object, found: list[Cause]) -> None:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "namespace" and value}
    if metadata.keys() - {"managedFields"}:
        found = [
            *found,
            Cause("FieldValueInvalid", f"Invalid value: {compact_json(metadata)}: must be empty", "metadata"),
        ]
    if found:
        raise invalid(".authorization.k8s.io", "", found)


def _question(spec: Object) -> RequestInfo:
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return RequestInfo(path.get("path", ""), path.get("verb", ""))
    asked = spec.get("resourceAttributes") or {}
    return RequestInfo(
        "",
        asked.get("verb", ""),
        True,
        asked.get("group", ""),
        asked.get("version", ""),
        asked.get("resource", ""),
        asked.get("subresource", ""),
        asked.get("namespace", ""),
        asked.get("name", ""),
    )


def _kept(rule: Object, names: Iterable[str]) -> Object:
    return {name: rule[name] for name in names if rule.get(name)}
