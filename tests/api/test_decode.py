"""Bodies become canonical objects, and wrong ones are refused with Go's sentences: a row for each rule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podrun.api.decode import JSON, YAML, decode_body, decode_object, normalise
from podrun.api.errors import ApiError
from podrun.api.gvk import KindRef
from podrun.api.quantity import WRONG_FORMAT

POD = KindRef("", "v1", "Pod")
SECRET = KindRef("", "v1", "Secret")
SERVICE = KindRef("", "v1", "Service")

CANNOT = 'Pod in version "v1" cannot be handled as a Pod: '


def pod(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [], **spec}}


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "a", **fields}])


def refusal(body: bytes | dict[str, Any], kind: KindRef = POD, **options: Any) -> str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ApiError) as refused:
        decode_body(raw, options.get("media_type", JSON), kind, options.get("field_validation", ""))
    assert refused.value.code == 400
    assert refused.value.reason == "BadRequest"
    return refused.value.message


WRONG_TYPES = [
    # what is wrong, the body, what the decoder met, where, and the type there
    ("a string for a list", container(command="x"), "string", "Container.spec.containers.command", "[]string"),
    ("a number in a list of strings", container(args=[1]), "number", "Container.spec.containers.args", "string"),
    ("a string for a bool", container(tty="yes"), "string", "Container.spec.containers.tty", "bool"),
    (
        "a named string type",
        container(imagePullPolicy=1),
        "number",
        "Container.spec.containers.imagePullPolicy",
        "v1.PullPolicy",
    ),
    (
        "a struct where a list is",
        container(resources=[]),
        "array",
        "Container.spec.containers.resources",
        "v1.ResourceRequirements",
    ),
    (
        "a pointer to a struct",
        container(securityContext=True),
        "bool",
        "Container.spec.containers.securityContext",
        "v1.SecurityContext",
    ),
    (
        "an embedded struct is named",
        container(livenessProbe={"exec": 1}),
        "number",
        "Probe.spec.containers.livenessProbe.ProbeHandler.exec",
        "v1.ExecAction",
    ),
    (
        "an embedded volume source",
        pod(volumes=[{"name": "v", "emptyDir": 1}]),
        "number",
        "Volume.spec.volumes.VolumeSource.emptyDir",
        "v1.EmptyDirVolumeSource",
    ),
    ("a fraction for an integer", pod(priority=1.5), "number 1.5", "PodSpec.spec.priority", "int32"),
    ("an integer that is too large", pod(priority=1 << 40), "number 1099511627776", "PodSpec.spec.priority", "int32"),
    (
        "a map of named strings",
        container(resources={"limits": "x"}),
        "string",
        "ResourceRequirements.spec.containers.resources.limits",
        "v1.ResourceList",
    ),
    ("a wrong value in a map", pod(nodeSelector={"a": 1}), "number", "PodSpec.spec.nodeSelector", "string"),
    (
        "an object for a port",
        container(ports=[{"containerPort": {}}]),
        "object",
        "ContainerPort.spec.containers.ports.containerPort",
        "int32",
    ),
    (
        "a bool for an int or string",
        container(livenessProbe={"httpGet": {"port": True}}),
        "bool",
        "HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port",
        "int32",
    ),
    (
        "a number for a time",
        {"metadata": {"creationTimestamp": 5}},
        "number",
        "ObjectMeta.metadata.creationTimestamp",
        "string",
    ),
]


@pytest.mark.parametrize(("_", "body", "met", "where", "kind"), WRONG_TYPES, ids=[row[0] for row in WRONG_TYPES])
def test_a_value_of_the_wrong_type_is_named_as_go_names_it(
    _: str, body: dict[str, Any], met: str, where: str, kind: str
) -> None:
    assert refusal(body) == f"{CANNOT}json: cannot unmarshal {met} into Go struct field {where} of type {kind}"


OTHER_REFUSALS = [
    ("a quantity", container(resources={"limits": {"cpu": "x"}}), WRONG_FORMAT),
    (
        "a time",
        {"metadata": {"creationTimestamp": "x"}},
        'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
    ),
    (
        "a month",
        {"metadata": {"creationTimestamp": "2024-13-01T00:00:00Z"}},
        'parsing time "2024-13-01T00:00:00Z": month out of range',
    ),
    (
        "the first wrong type is told",
        pod(priority="x", hostNetwork="y"),
        "json: cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32",
    ),
    ("a custom decoder ends it all", pod(priority="x", overhead={"cpu": "y"}), WRONG_FORMAT),
]


@pytest.mark.parametrize(
    ("body", "sentence"), [row[1:] for row in OTHER_REFUSALS], ids=[row[0] for row in OTHER_REFUSALS]
)
def test_custom_decoders_speak_for_themselves(body: dict[str, Any], sentence: str) -> None:
    assert refusal(body) == CANNOT + sentence


SYNTAX = [
    (b"{", "unexpected end of JSON input ({)"),
    (b'{"a":1,}', "invalid character '}' looking for beginning of object key string ({\"a\":1,})"),
    (b'{"a" 1}', "invalid character '1' after object key ({\"a\" 1})"),
    (b'{"a":tru}', "invalid character '}' in literal true (expecting 'e') ({\"a\":tru})"),
    (b'{"a":01}', "invalid character '1' after object key:value pair ({\"a\":01})"),
    (b"x", "invalid character 'x' looking for beginning of value (78)"),
    (
        b"[]",
        "json: cannot unmarshal array into Go value of type struct "
        '{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" } (5b5d)',
    ),
    (b'{"kind":5}', 'json: cannot unmarshal number into Go struct field .kind of type string ({"kind":5})'),
]


@pytest.mark.parametrize(("body", "sentence"), SYNTAX)
def test_what_is_not_json_is_told_where_it_ends(body: bytes, sentence: str) -> None:
    head = "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
    assert refusal(body) == head + sentence


def test_a_body_ten_thousand_deep_is_too_deep() -> None:
    message = refusal(b'{"a":' * 10_001)
    assert "invalid character '{' exceeded max depth" in message


def test_a_body_deeper_than_python_recurses_is_read() -> None:
    deep = b'{"metadata":{"name":"p"},"x":' + b"[" * 5000 + b"]" * 5000 + b"}"
    made = decode_body(deep, JSON, POD)
    assert made.warnings == ['unknown field "x"']


def test_kinds_that_do_not_belong_are_refused() -> None:
    wrong_version = {**pod(), "apiVersion": "v2"}
    assert refusal(wrong_version).startswith(
        'Pod in version "v2" cannot be handled as a Pod: no kind "Pod" is registered for version "v2" in scheme "'
    )
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    assert refusal(other) == (
        'ConfigMap in version "v1" cannot be handled as a Pod: '
        "converting (v1.ConfigMap) to (core.Pod): unknown conversion"
    )
    event = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}}
    assert refusal(event, KindRef("", "v1", "Event")) == (
        "the API version in the data (events.k8s.io/v1) does not match the expected API version (v1)"
    )


def test_kind_and_version_may_be_left_out() -> None:
    made = decode_body(b'{"metadata":{"name":"p"}}', JSON, POD).object
    assert (made["kind"], made["apiVersion"]) == ("Pod", "v1")


def test_unknown_and_repeated_fields_warn_or_refuse() -> None:
    body = b'{"metadata":{"name":"p","name":"q"},"spec":{"containers":[{"name":"a","imag":1}],"colour":2,"colour":3}}'
    sentences = [
        'duplicate field "metadata.name"',
        'unknown field "spec.containers[0].imag"',
        'unknown field "spec.colour"',
    ]
    made = decode_body(body, JSON, POD)
    assert made.warnings == sentences
    assert made.object["metadata"]["name"] == "q"
    assert decode_body(body, JSON, POD, "Ignore").warnings == []
    assert refusal(body, field_validation="Strict") == f"{CANNOT}strict decoding error: {', '.join(sentences)}"


def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    body = b"""
metadata:
  name: p
  labels: {a: 'yes', b: "1"}
spec:
  hostNetwork: yes
  priority: 0x10
---
x: 1
"""
    made = decode_body(body, YAML, POD).object
    assert made["metadata"]["labels"] == {"a": "yes", "b": "1"}
    assert made["spec"]["hostNetwork"] is True
    assert made["spec"]["priority"] == 16


def test_keys_that_yaml_has_twice_are_told_with_their_line() -> None:
    made = decode_body(b"metadata:\n  name: p\n  name: q\n", YAML, POD)
    assert made.warnings == ['yaml: unmarshal errors:\n  line 3: key "name" already set in map']


def test_a_mistake_in_yaml_is_told_with_its_line() -> None:
    message = refusal(b"a:\n  b: c: d\n", media_type=YAML)
    assert "yaml: line 2: mapping values are not allowed in this context (" in message


CANONICAL = [
    ("empty values of omitempty fields go", container(image="", command=[], tty=False), {"name": "a", "resources": {}}),
    ("null leaves a field alone", container(image=None, securityContext=None), {"name": "a", "resources": {}}),
    (
        "a pointer's empty value stays",
        container(securityContext={"privileged": False}),
        {"name": "a", "resources": {}, "securityContext": {"privileged": False}},
    ),
    ("a required string is written", pod(containers=[{}]), {"name": "", "resources": {}}),
    ("null in a list is an empty struct", pod(containers=[None]), {"name": "", "resources": {}}),
    (
        "quantities become canonical",
        container(resources={"limits": {"cpu": 0.5, "memory": "1024Mi"}}),
        {"name": "a", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}},
    ),
    (
        "a divisor is always written",
        container(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "cpu"}}}]),
        {
            "name": "a",
            "resources": {},
            "env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "cpu", "divisor": "0"}}}],
        },
    ),
]


@pytest.mark.parametrize(("_", "body", "expected"), CANONICAL, ids=[row[0] for row in CANONICAL])
def test_objects_are_what_a_round_trip_would_make_of_them(
    _: str, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert decode_object(POD, body).object["spec"]["containers"] == [expected]


def test_times_are_written_in_utc_and_whole_seconds() -> None:
    made = normalise(POD, {"metadata": {"creationTimestamp": "2024-01-02T03:04:05.678+01:00"}})
    assert made["metadata"]["creationTimestamp"] == "2024-01-02T02:04:05Z"


def test_bytes_must_be_base64() -> None:
    assert refusal({"data": {"a": "!!"}}, SECRET).endswith("illegal base64 data at input byte 0")
    assert refusal({"data": {"a": "YWJj"}, "type": 1}, SECRET).endswith(
        "Go struct field Secret.type of type v1.SecretType"
    )
    assert decode_object(SECRET, {"data": {"a": "YW\nJj"}}).object["data"] == {"a": "YWJj"}


def test_lone_surrogates_do_not_survive() -> None:
    made = decode_body(b'{"metadata":{"name":"p","annotations":{"a":"\\ud800x"}}}', JSON, POD).object
    made["metadata"]["annotations"]["a"].encode()


def test_an_int_or_string_keeps_its_kind() -> None:
    made = normalise(
        SERVICE, {"spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}]}}
    )
    assert [port["targetPort"] for port in made["spec"]["ports"]] == ["http", 8081]
