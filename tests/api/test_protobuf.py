"""Protobuf bodies, written here byte by byte, to the objects that JSON would have given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrun.api.decode import decode_read
from podrun.api.errors import ApiError
from podrun.api.gvk import KindRef
from podrun.api.protobuf import read_body
from podrun.api.protobuf_fields import numbered

POD = KindRef("", "v1", "Pod")
SECRET = KindRef("", "v1", "Secret")
OPTIONS = KindRef("meta.k8s.io", "v1", "DeleteOptions")


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def f(number: int, value: bytes | str | int | bool) -> bytes:
    """A field: numbers as varints, everything else with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def body(kind: KindRef, raw: bytes) -> bytes:
    return b"k8s\0" + f(1, f(1, kind.api_version) + f(2, kind.kind)) + f(2, raw) + f(3, "") + f(4, "")


def decoded(kind: KindRef, raw: bytes) -> dict[str, Any]:
    made = decode_read(read_body(body(kind, raw), kind), kind).object
    return {name: value for name, value in made.items() if name not in ("kind", "apiVersion")}


METADATA = f(1, "p") + f(2, "") + f(8, b"") + f(11, f(1, "app") + f(2, "a")) + f(11, f(1, "b") + f(2, ""))
PORT = f(1, "") + f(2, 0) + f(3, 8080) + f(4, "") + f(5, "")
LIMITS = f(1, f(1, "cpu") + f(2, f(1, "100m")))
PROBE = f(1, f(2, f(1, "/z") + f(2, f(1, 0) + f(2, 80) + f(3, "")) + f(3, "") + f(4, ""))) + f(2, 0) + f(7, 9)
NAMED_PORT = f(2, f(1, "/") + f(2, f(1, 1) + f(2, 0) + f(3, "web")))
CONTAINER = (
    f(1, "a") + f(2, "busybox") + f(3, "sh") + f(3, "-c") + f(5, "") + f(6, PORT)
    + f(7, f(1, "A") + f(2, "")) + f(7, f(1, "B") + f(3, f(3, f(1, f(1, "cm")) + f(2, "k"))))
    + f(8, LIMITS) + f(10, PROBE) + f(11, f(1, NAMED_PORT)) + f(13, "") + f(16, False) + f(17, False)
    + f(15, f(1, f(1, "NET_ADMIN")) + f(2, False) + f(4, 1000))
)  # fmt: skip
VOLUME = f(1, "v") + f(2, f(2, f(1, "")))
SPEC = f(1, VOLUME) + f(2, CONTAINER) + f(3, "") + f(4, 5) + f(11, False) + f(10, "")


def test_a_pod() -> None:
    assert decoded(POD, f(1, METADATA) + f(2, SPEC) + f(3, b"")) == {
        "metadata": {"name": "p", "labels": {"app": "a", "b": ""}},
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [
                {
                    "name": "a",
                    "image": "busybox",
                    "command": ["sh", "-c"],
                    "ports": [{"containerPort": 8080}],
                    "env": [
                        {"name": "A"},
                        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
                    ],
                    "resources": {"limits": {"cpu": "100m"}},
                    "livenessProbe": {"httpGet": {"path": "/z", "port": 80}, "terminationGracePeriodSeconds": 9},
                    "readinessProbe": {"httpGet": {"path": "/", "port": "web"}},
                    "securityContext": {
                        "capabilities": {"add": ["NET_ADMIN"]},
                        "privileged": False,
                        "runAsUser": 1000,
                    },
                }
            ],
            "terminationGracePeriodSeconds": 5,
        },
        "status": {},
    }


def test_bytes_become_base64() -> None:
    assert decoded(SECRET, f(1, f(1, "s")) + f(2, f(1, "k") + f(2, b"\0\xff")) + f(3, "Opaque")) == {
        "metadata": {"name": "s"},
        "data": {"k": "AP8="},
        "type": "Opaque",
    }


def test_pointers_keep_their_zeros_and_negative_numbers_their_sign() -> None:
    value = read_body(body(OPTIONS, f(1, 0) + f(2, f(1, "u")) + f(4, "Orphan")), OPTIONS).value
    assert value["gracePeriodSeconds"] == 0
    assert value["preconditions"] == {"uid": "u"}
    core = KindRef("", "v1", "DeleteOptions")
    assert read_body(body(core, f(1, -1)), OPTIONS).value["gracePeriodSeconds"] == -1


def test_times_have_seconds_and_zero_is_none() -> None:
    metadata = f(1, "p") + f(8, f(1, 1_700_000_000) + f(2, 0))
    assert decoded(POD, f(1, metadata))["metadata"]["creationTimestamp"] == "2023-11-14T22:13:20Z"


def test_numbers_of_a_newer_client_are_passed_over() -> None:
    assert decoded(SECRET, f(1, f(1, "s")) + f(999, "new") + varint(998 << 3 | 5) + b"\0\0\0\0")["metadata"] == {
        "name": "s"
    }


def test_another_kind_is_refused_by_its_name() -> None:
    read = read_body(body(SECRET, b""), POD)
    with pytest.raises(ApiError) as refused:
        decode_read(read, POD)
    assert refused.value.code == 400


ENDLESS = b"k8s\0" + b"\xff" * 20


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"k8s\0\x12\xff", body(POD, b"\x0a\xff"), body(POD, f(1, 7)), body(POD, b"\x0b"), ENDLESS],
    ids=["nothing", "JSON", "cut short", "cut inside", "a number for a message", "a group", "an endless number"],
)  # fmt: skip
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        read_body(raw, POD)
    assert refused.value.code == 400


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_read_or_refused(raw: bytes) -> None:
    for given_body in (b"k8s\0" + raw, body(POD, raw), body(POD, f(2, raw)), body(POD, f(2, f(2, raw)))):
        try:
            decode_read(read_body(given_body, POD), POD)
        except ApiError as error:
            assert error.code == 400  # noqa: PT017 - being read is as good


def test_numbers_go_on_after_a_gap() -> None:
    fields = numbered("io.k8s.api.core.v1.ConfigMapProjection")
    assert {number: field.name for number, field in fields.items()} == {1: "", 2: "items", 4: "optional"}
    assert fields[1].embedded == "io.k8s.api.core.v1.LocalObjectReference"
