"""Reviews: questions that are answered at once and kept nowhere (who am I, may I, is this token good)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from podrun.api.errors import ApiError, Cause, bad_request, invalid
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
                _check(spec)
                return self._access(spec, user)
        if kind == "LocalSubjectAccessReview":
            asked = (spec.get("resourceAttributes") or {}).get("namespace", "")
            if asked != namespace:
                raise bad_request(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
        _check(spec)
        if not spec.get("user") and not spec.get("groups"):
            raise _invalid(Cause("FieldValueInvalid", f'Invalid value: "": {_SOMEBODY}', "spec.user"))
        groups = tuple(spec.get("groups") or ())
        return self._access(spec, User(spec.get("user", ""), groups, spec.get("uid", "")))

    def _access(self, spec: Object, user: User) -> Object:
        allowed = self._authorizer.allows(user, _question(spec))
        return {"allowed": allowed}

    def _token(self, spec: Object) -> Object:
        if not spec.get("token"):
            cause = Cause(
                "FieldValueRequired", "Required value: token is required for TokenReview in authentication", ""
            )
            raise invalid("TokenReview.authentication.k8s.io", "", [cause])
        try:
            user, claims = self._authenticator.token_user(spec["token"], spec.get("audiences") or ())
        except ApiError:
            return {"user": {}, "error": "[invalid bearer token]"}
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


def _check(spec: Object) -> None:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        value = "null" if resource is None else "{}"
        raise _invalid(Cause("FieldValueInvalid", f"Invalid value: {value}: {_ONE_OF}", "spec.resourceAttributes"))


def _invalid(cause: Cause) -> ApiError:
    return invalid(".authorization.k8s.io", "", [cause])


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
