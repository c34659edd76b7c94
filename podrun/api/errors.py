"""Refusals as the API server answers them: a Status with Kubernetes' reason, code, words and details.

`ApiError` is raised anywhere between the request and the store; the server sends `.status()` with `.code`. The
constructors carry the names of `k8s.io/apimachinery/pkg/api/errors`, so that `not_found("pods", "x")` is
`pods "x" not found`. A `resource` is a plural with its group after a dot (`leases.coordination.k8s.io`), a `kind` may
carry its group the same way (`Lease.coordination.k8s.io`): that is also how Kubernetes spells them in messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from podrun.api.gotext import quote

Object = dict[str, Any]


class Cause(NamedTuple):
    """One thing that is wrong: `reason` such as FieldValueRequired, `message` without the path, and the path."""

    reason: str
    message: str
    field: str = ""


@dataclass(eq=False)
class ApiError(Exception):
    """A request that is refused or has failed; everything a Status says.

    `details` is None where Kubernetes sends none; an empty mapping is sent as `{}`, which is what a few of its
    answers hold. `reason` is empty for the errors that Kubernetes did not classify (code 500).
    """

    code: int
    reason: str
    message: str
    details: Object | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def status(self) -> Object:
        """The Status object of the answer's body."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def split_group(qualified: str) -> tuple[str, str]:
    """`leases.coordination.k8s.io` as (`leases`, `coordination.k8s.io`); the core group is empty."""
    name, _, group = qualified.partition(".")
    return name, group


def _details(qualified: str, name: str = "", causes: Iterable[Cause] = (), retry_after: int = 0) -> Object:
    kind, group = split_group(qualified)
    details: Object = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    listed = [_cause(cause) for cause in causes]
    if listed:
        details["causes"] = listed
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return details


def _cause(cause: Cause) -> Object:
    entries = {"reason": cause.reason, "message": cause.message, "field": cause.field}
    return {key: value for key, value in entries.items() if value}


def not_found(resource: str, name: str) -> ApiError:
    """There is no such object."""
    return ApiError(404, "NotFound", f"{resource} {quote(name)} not found", _details(resource, name))


def already_exists(resource: str, name: str) -> ApiError:
    """A create met an object of that name."""
    return ApiError(409, "AlreadyExists", f"{resource} {quote(name)} already exists", _details(resource, name))


def generate_name_conflict(resource: str, name: str, retry_after: int = 1) -> ApiError:
    """Every name tried for a generateName was taken."""
    message = (
        f"{resource} {quote(name)} already exists, the server was not able to generate a unique name for the object"
    )
    return ApiError(409, "AlreadyExists", message, _details(resource, name, retry_after=retry_after))


def conflict(resource: str, name: str, why: str) -> ApiError:
    """The write cannot be made as things stand (`why` says what stands against it)."""
    message = f"Operation cannot be fulfilled on {resource} {quote(name)}: {why}"
    return ApiError(409, "Conflict", message, _details(resource, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
"""The `why` of a conflict over resourceVersion."""


def apply_conflict(causes: Iterable[Cause], message: str) -> ApiError:
    """A server-side apply met fields that other managers own."""
    return ApiError(409, "Conflict", message, _details("", causes=causes))


def invalid(kind: str, name: str, causes: Iterable[Cause]) -> ApiError:
    """The object breaks the rules; repeated causes stand in the message once."""
    listed = list(causes)
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in listed))
    message = f"{kind} {quote(name)} is invalid"
    if len(texts) == 1:
        message += f": {texts[0]}"
    elif texts:
        message += f": [{', '.join(texts)}]"
    return ApiError(422, "Invalid", message, _details(kind, name, listed))


def bad_request(message: str) -> ApiError:
    """The request itself makes no sense."""
    return ApiError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> ApiError:
    """No or unknown credentials."""
    return ApiError(401, "Unauthorized", message)


def forbidden(resource: str, name: str, why: str) -> ApiError:
    """Admission or authorization said no: `pods "x" is forbidden: why`."""
    if not resource:
        message = f"forbidden: {why}"
    elif not name:
        message = f"{resource} is forbidden: {why}"
    else:
        message = f"{resource} {quote(name)} is forbidden: {why}"
    return ApiError(403, "Forbidden", message, _details(resource, name))


def gone(message: str) -> ApiError:
    """What was asked for is no longer here."""
    return ApiError(410, "Gone", message)


def expired(message: str) -> ApiError:
    """A resourceVersion or continue token is too old."""
    return ApiError(410, "Expired", message)


def unknown_resource() -> ApiError:
    """The path leads nowhere within a served group version."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    """The path exists, the HTTP method does not."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def method_not_supported(resource: str, action: str) -> ApiError:
    """The resource does not know the verb `action`."""
    message = f"{action} is not supported on resources of kind {quote(resource)}"
    return ApiError(405, "MethodNotAllowed", message, _details(resource))


def not_acceptable(message: str, details: Object | None = None) -> ApiError:
    """None of the media types that the client accepts can be made."""
    return ApiError(406, "NotAcceptable", message, details)


def unsupported_media_type(message: str, details: Object | None = None) -> ApiError:
    """The body's media type is none that can be read here."""
    return ApiError(415, "UnsupportedMediaType", message, details)


def request_entity_too_large(message: str) -> ApiError:
    """The body is over the limit that `message` tells."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def too_many_requests(message: str, retry_after: int, causes: Iterable[Cause] = ()) -> ApiError:
    """Come back after `retry_after` seconds (0: no advice)."""
    return ApiError(429, "TooManyRequests", message, _details("", causes=causes, retry_after=retry_after))


def service_unavailable(message: str) -> ApiError:
    """The server cannot do it now."""
    return ApiError(503, "ServiceUnavailable", message)


def timeout(message: str, retry_after: int = 0) -> ApiError:
    """The request took too long."""
    return ApiError(504, "Timeout", f"Timeout: {message}", _details("", retry_after=retry_after))


def internal_error(message: str) -> ApiError:
    """Something failed on the server's side."""
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def unclassified(message: str) -> ApiError:
    """An error that Kubernetes passes on as it is: code 500, no reason (`resourceVersion should not be set ...`)."""
    return ApiError(500, "", message)
