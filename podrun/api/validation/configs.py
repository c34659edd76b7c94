"""ConfigMaps, Secrets and ServiceAccounts."""

from __future__ import annotations

import base64
import binascii
import json

from podrun.api.validation.field import NOWHERE, Causes, Path, each_invalid, forbidden, invalid, required, too_long
from podrun.api.validation.metadata import IMMUTABLE, METADATA, metadata_update, object_metadata
from podrun.api.validation.names import config_key, dns_subdomain
from podrun.api.validation.read import Object, flag, mapping, size, text, texts

LARGEST = 1024 * 1024
ACCOUNT_NAME = "kubernetes.io/service-account.name"
FROZEN = "field is immutable when `immutable` is set"
NEEDED_KEYS = {
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
HOLD_JSON = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")
BASIC_AUTH = ("username", "password")
DATA = Path("data")


def config_map(obj: Object) -> Causes:
    yield from object_metadata(obj, dns_subdomain)
    data, binary = texts(obj, "data"), texts(obj, "binaryData")
    for key in data:
        yield from each_invalid(DATA.key(key), key, config_key(key))
        if key in binary:
            yield invalid(DATA.key(key), key, "duplicate of key present in binaryData")
    for key in binary:
        yield from each_invalid(Path("binaryData").key(key), key, config_key(key))
    total = sum(size(value) for value in data.values()) + sum(decoded_size(value) for value in binary.values())
    if total > LARGEST:
        yield too_long(NOWHERE, LARGEST)


def config_map_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    yield from frozen(new, old, ("data", "binaryData"))
    yield from config_map(new)


def frozen(new: Object, old: Object, fields: tuple[str, ...]) -> Causes:
    """What was made immutable stays so, and so does what it holds."""
    if not flag(old, "immutable"):
        return
    if not flag(new, "immutable"):
        yield forbidden("immutable", FROZEN)
    for name in fields:
        if mapping(new, name) != mapping(old, name):
            yield forbidden(name, FROZEN)


def decoded_size(encoded: str) -> int:
    """How many bytes a base64 text holds."""
    return len(encoded) // 4 * 3 - encoded[-2:].count("=")


def secret(obj: Object) -> Causes:
    yield from object_metadata(obj, dns_subdomain)
    data, kind = texts(obj, "data"), text(obj, "type")
    for key in data:
        yield from each_invalid(DATA.key(key), key, config_key(key))
    if sum(decoded_size(value) for value in data.values()) > LARGEST:
        yield too_long(DATA, LARGEST)
    if kind == "kubernetes.io/service-account-token":
        if not texts(mapping(obj, "metadata"), "annotations").get(ACCOUNT_NAME):
            yield required(METADATA.child("annotations").key(ACCOUNT_NAME))
    elif kind == "kubernetes.io/basic-auth" and not set(BASIC_AUTH) & data.keys():
        for key in BASIC_AUTH:
            yield required(DATA.key(key))
    for key in NEEDED_KEYS.get(kind, ()):
        if key not in data or (kind == "kubernetes.io/ssh-auth" and not data[key]):
            yield required(DATA.key(key))
        elif kind in HOLD_JSON:
            problem = json_problem(data[key])
            if problem:
                yield invalid(DATA.key(key), "<secret contents redacted>", problem)


def json_problem(encoded: str) -> str:
    """Why base64 text does not hold a JSON object, much as Go's encoding/json says it; empty when it does."""
    try:
        raw = base64.b64decode(encoded).decode("utf-8", "replace")
        value = json.loads(raw)
    except json.JSONDecodeError as error:
        if error.pos >= len(raw.rstrip()):
            return "unexpected end of JSON input"
        char = raw[error.pos]
        where = "looking for beginning of value" if error.msg == "Expecting value" else "after top-level value"
        return f"invalid character '{char}' {where}"
    except (binascii.Error, RecursionError, ValueError):
        return "unexpected end of JSON input"
    if value is None or isinstance(value, dict):
        return ""
    kind = {str: "string", bool: "bool", list: "array"}.get(type(value), "number")
    return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"


def secret_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    if text(new, "type") != text(old, "type"):
        yield invalid("type", text(new, "type"), IMMUTABLE)
    yield from frozen(new, old, ("data",))
    yield from secret(new)


def service_account(obj: Object) -> Causes:
    return object_metadata(obj, dns_subdomain)


def service_account_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    yield from service_account(new)
