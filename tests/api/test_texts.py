"""How texts are read and written: JSON, YAML, times, Go's spellings, refusals, names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrun.api import errors, gotext, gotime, jsontext, names, yamltext
from podrun.api.apply import server_side_apply
from podrun.api.decode import JSON, decode_body
from podrun.api.errors import ApiError, Cause
from podrun.api.gvk import KindRef
from podrun.api.patches import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, apply_patch

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON_VALUES)
def test_both_readers_of_json_agree(value: object) -> None:
    text = gotext.compact_json(value)
    assert jsontext.read(text.encode()) == value
    assert jsontext._Scanner(text).value() == value


def test_numbers_keep_their_spelling() -> None:
    (number,) = jsontext.read(b"[1.50]")
    assert (number, number.text) == (1.5, "1.50")


def test_repeated_names_are_noticed() -> None:
    value = jsontext.read(b'{"a":1,"b":2,"a":3}')
    assert value == {"a": 3, "b": 2}
    assert value.pairs == [("a", 1), ("b", 2), ("a", 3)]


def test_a_repeated_object_is_decoded_into_the_earlier_one() -> None:
    body = b'{"metadata":{"name":"p","labels":{"a":"1"}},"metadata":{"labels":{"b":"2"}}}'
    made = decode_body(body, JSON, KindRef("", "v1", "Pod"))
    assert made.object["metadata"] == {"name": "p", "labels": {"a": "1", "b": "2"}}
    assert made.warnings == ['duplicate field "metadata"']


MISTAKES = [
    (b"", "unexpected end of JSON input"),
    (b"nul", "unexpected end of JSON input"),
    (b"nule", "invalid character 'e' in literal null (expecting 'l')"),
    (b"[1 2]", "invalid character '2' after array element"),
    (b"{} x", "invalid character 'x' after top-level value"),
    (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
    (b"1ex", "invalid character 'x' in exponent of numeric literal"),
    (b"-x", "invalid character 'x' in numeric literal"),
    (b'"a\nb"', "invalid character '\\n' in string literal"),
    (b'"\\x"', "invalid character 'x' in string escape code"),
    (b'"\\u00zz"', "invalid character 'z' in \\u hexadecimal character escape"),
    (b"'a'", "invalid character '\\'' looking for beginning of value"),
    (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
    (b"NaN", "invalid character 'N' looking for beginning of value"),
]


@pytest.mark.parametrize(("body", "sentence"), MISTAKES)
def test_mistakes_in_json_have_gos_words(body: bytes, sentence: str) -> None:
    with pytest.raises(jsontext.SyntaxMistake, match=f"^{re.escape(sentence)}$"):
        jsontext.read(body)


YAML = [
    ("a: yes", {"a": True}),
    ("a: y", {"a": True}),
    ('a: "yes"', {"a": "yes"}),
    ("a: off", {"a": False}),
    ("a: ~", {"a": None}),
    ("a:", {"a": None}),
    ("a: 010", {"a": 8}),
    ("a: 0x1F", {"a": 31}),
    ("a: 0b11", {"a": 3}),
    ("a: 1_000", {"a": 1000}),
    ("a: 1:30", {"a": "1:30"}),
    ("a: 1.5", {"a": 1.5}),
    ("a: 1e3", {"a": 1000}),
    ("a: 2024-01-02", {"a": "2024-01-02"}),
    ("a: !!str 5", {"a": "5"}),
    ("5: x", {"5": "x"}),
    ("true: x", {"true": "x"}),
    ("a: |\n  x\n", {"a": "x\n"}),
    ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ("a: &x {b: 1}\nc: {b: 3, <<: *x}", {"a": {"b": 1}, "c": {"b": 3}}),
    ("a: 1\n---\nb: 2", {"a": 1}),
    ("", None),
]


@pytest.mark.parametrize(("text", "value"), YAML)
def test_yaml_is_what_go_yaml_makes_of_it(text: str, value: object) -> None:
    assert yamltext.read(text.encode()) == (value, [])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("a:\n\t- b", "yaml: line 2: found character that cannot start any token"),
        ("a: [1", "yaml: line 1: did not find expected ',' or ']'"),
        ("a: .inf", "json: unsupported value: +Inf"),
        ("a: &x [*x]", "yaml: anchor value contains itself"),
        ("<<: 1", "yaml: map merge requires map or sequence of maps as the value"),
    ],
)
def test_mistakes_in_yaml(text: str, sentence: str) -> None:
    with pytest.raises(yamltext.YamlMistake, match=f"^{re.escape(sentence)}$"):
        yamltext.read(text.encode())


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    with pytest.raises(yamltext.YamlMistake, match="excessive aliasing"):
        yamltext.read("\n".join(lines).encode())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("2024-01-02T03:04:05.999Z", "2024-01-02T03:04:05Z"),
        ("2024-01-02T00:30:00+01:00", "2024-01-01T23:30:00Z"),
    ],
)
def test_times_are_read_as_go_reads_them(text: str, seconds: str) -> None:
    assert gotime.seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("x", 'cannot parse "x" as "2006"'),
        ("2024/01/02", 'cannot parse "/01/02" as "-"'),
        ("2024-01-02", 'cannot parse "" as "T"'),
        ("2024-01-02T03:04:05", 'cannot parse "" as "Z07:00"'),
    ],
)
def test_times_that_are_none(text: str, end: str) -> None:
    with pytest.raises(ValueError, match=f'^parsing time "{re.escape(text)}" as .*: {re.escape(end)}$'):
        gotime.seconds(text)


def test_times_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r'^parsing time "2024-02-30T00:00:00Z": day out of range$'):
        gotime.seconds("2024-02-30T00:00:00Z")
    with pytest.raises(ValueError, match=r'extra text: "x"$'):
        gotime.seconds("2024-01-02T03:04:05Zx")
    with pytest.raises(ValueError, match=r'cannot parse "Z" as ".000000"$'):
        gotime.micros("2024-01-02T03:04:05Z")
    assert gotime.micros("2024-01-02T03:04:05.123456Z") == "2024-01-02T03:04:05.123456Z"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, "x"], "a": None}, "map[a:<nil> b:[1 x]]"),
        (True, "true"),
        (1.5, "1.5"),
        (1e21, "1e+21"),
        (1e-7, "1e-07"),
        (2.0, "2"),
    ],
)
def test_values_are_printed_as_go_prints_them(value: object, text: str) -> None:
    assert gotext.plain(value) == text


def test_strings_are_quoted_as_go_quotes_them() -> None:
    assert gotext.quote('a"b\\c\n\x00é\u200b') == '"a\\"b\\\\c\\n\\x00é\\u200b"'


def test_a_refusal_is_a_status() -> None:
    status = errors.not_found("leases.coordination.k8s.io", "x").status()
    assert status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'leases.coordination.k8s.io "x" not found',
        "reason": "NotFound",
        "details": {"name": "x", "group": "coordination.k8s.io", "kind": "leases"},
        "code": 404,
    }


def test_causes_stand_in_the_message_once_and_in_the_details_as_often_as_they_came() -> None:
    cause = Cause("FieldValueRequired", "Required value", "a")
    one = errors.invalid("Pod", "p", [cause])
    assert one.message == 'Pod "p" is invalid: a: Required value'
    two = errors.invalid("Pod", "p", [cause, cause, Cause("FieldValueRequired", "Required value", "b")])
    assert two.message == 'Pod "p" is invalid: [a: Required value, b: Required value]'
    assert two.details is not None
    assert len(two.details["causes"]) == 3


def test_generated_names_fit_a_label() -> None:
    made = names.generate_name("x" * 100)
    assert len(made) == 63
    assert set(made[-5:]) <= set(names.ALPHABET)
    assert names.rfc3339(0.9) == "1970-01-01T00:00:00Z"
    assert names.rfc3339_micro(0.5) == "1970-01-01T00:00:00.500000Z"
    assert names.parse_time("1970-01-01T00:00:01Z") == 1.0


def test_deep_values_are_refused_not_fallen_over() -> None:
    deep = b'{"a":' * 2000 + b"1" + b"}" * 2000
    config_map = KindRef("", "v1", "ConfigMap")
    for media_type in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
        with pytest.raises(ApiError, match="exceeded max depth"):
            apply_patch(config_map, {"metadata": {"name": "c"}}, deep, media_type)
    with pytest.raises(ApiError, match="exceeded max depth"):
        server_side_apply(config_map, None, deep, manager="m", force=False, now=0)
    with pytest.raises(ApiError, match="max depth"):
        server_side_apply(config_map, None, b"a: " + b"[" * 2000 + b"]" * 2000, manager="m", force=False, now=0)
    owners = b'{"metadata":{"managedFields":[{"fieldsV1":' + deep + b"}]}}"
    with pytest.raises(ApiError, match="exceeded max depth"):
        decode_body(owners, JSON, config_map)
