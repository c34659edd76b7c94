"""Selectors: what they select, and what is said of those that are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrun.api.errors import ApiError
from podrun.api.fieldselectors import parse_fields
from podrun.api.selectors import Requirement, label_selector, parse_labels

LABELS = {"a": "1", "n": "7", "empty": ""}

MATCHES = [
    ("", True),
    ("a", True),
    ("!a", False),
    ("b", False),
    ("!b", True),
    ("a=1", True),
    ("a==1", True),
    ("a!=1", False),
    ("b!=1", True),
    ("a in (1,2)", True),
    ("a in (2,3)", False),
    ("a notin (2)", True),
    ("b notin (2)", True),
    ("b in ()", False),
    ("empty in (,x)", True),
    ("empty=", True),
    ("n>6", True),
    ("n<7", False),
    ("a>0,n<9", True),
    (" a in ( 1 , 3 ) , n ", True),
    ("in=in", False),
]


@pytest.mark.parametrize(("text", "expected"), MATCHES)
def test_labels_are_selected(text: str, expected: bool) -> None:
    assert parse_labels(text).matches(LABELS) is expected


MISTAKES = [
    ("a in", "unable to parse requirement: found '' expected: '('"),
    ("a b=c", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
    ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
    ("a in b", "unable to parse requirement: found 'b' expected: '('"),
    ("=b", "found '=', expected: !, identifier, or 'end of string'"),
    ("a,,b", "found ',', expected: identifier after ','"),
    ("a=b c", "found 'c', expected: ',' or 'end of string'"),
    ("a=b=c", "found '=', expected: ',' or 'end of string'"),
    ("!", "unable to parse requirement: found '', expected: identifier"),
    (
        "a>x",
        'unable to parse requirement: values[0]: Invalid value: "x": '
        "for 'Gt', 'Lt' operators, the value must be an integer",
    ),
]


@pytest.mark.parametrize(("text", "sentence"), MISTAKES)
def test_what_is_no_label_selector(text: str, sentence: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_labels(text)
    assert (refused.value.code, refused.value.message) == (400, sentence)


def test_keys_and_values_must_be_those_of_labels() -> None:
    with pytest.raises(ApiError, match=r'^unable to parse requirement: <nil>: Invalid value: "a_": name part must '):
        parse_labels("a_=b")
    with pytest.raises(
        ApiError, match=r'^unable to parse requirement: values\[0\]\[a\]: Invalid value: "b_": a valid '
    ):
        parse_labels("a=b_")


def test_a_selector_of_an_object() -> None:
    selector = label_selector(
        {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}
    )
    assert str(selector) == "a=1,!b"
    assert selector.matches(LABELS)
    with pytest.raises(ApiError, match='"Like" is not a valid label selector operator'):
        label_selector({"matchExpressions": [{"key": "b", "operator": "Like"}]})


KEYS = st.text("abcdefgh", min_size=1, max_size=4).filter(lambda key: key not in ("in", "notin"))
VALUES = st.text("abc123", min_size=1, max_size=4)
REQUIREMENTS = st.one_of(
    st.builds(Requirement, KEYS, st.sampled_from(["exists", "!"])),
    st.builds(
        lambda key, operator, value: Requirement(key, operator, (value,)),
        KEYS,
        st.sampled_from(["=", "==", "!="]),
        VALUES,
    ),
    st.builds(
        lambda key, operator, values: Requirement(key, operator, tuple(sorted(values))),
        KEYS,
        st.sampled_from(["in", "notin"]),
        st.sets(VALUES, min_size=1),
    ),
)


@given(st.lists(REQUIREMENTS, min_size=1, max_size=4))
def test_a_selector_is_read_back_from_its_text(requirements: list[Requirement]) -> None:
    text = ",".join(map(str, requirements))
    assert sorted(map(str, parse_labels(text).requirements)) == sorted(map(str, requirements))


@given(REQUIREMENTS, st.dictionaries(KEYS, VALUES))
def test_a_condition_and_its_opposite_divide_all_objects(one: Requirement, labels: dict[str, str]) -> None:
    opposite = {"exists": "!", "!": "exists", "=": "!=", "==": "!=", "!=": "=", "in": "notin", "notin": "in"}
    assert one.matches(labels) is not Requirement(one.key, opposite[one.operator], one.values).matches(labels)


POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n"},
    "spec": {"nodeName": "node", "restartPolicy": "Always"},
    "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]},
}
EVENT = {"involvedObject": {"kind": "Pod", "name": "p"}, "source": {"component": "kubelet"}, "reason": "Started"}

FIELDS: list[tuple[str, str, dict[str, Any], bool]] = [
    ("pods", "metadata.name=p", POD, True),
    ("pods", "metadata.name!=p", POD, False),
    ("pods", "status.phase==Running,spec.nodeName=node", POD, True),
    ("pods", "spec.host=node", POD, True),
    ("pods", "spec.hostNetwork=false", POD, True),
    ("pods", "status.nominatedNodeName=", POD, True),
    ("pods", "status.podIPs=10.0.0.1", POD, False),
    ("nodes", "spec.unschedulable=false", {"metadata": {}}, True),
    ("events", "involvedObject.name=p,source=kubelet", EVENT, True),
    ("events.events.k8s.io", "regarding.kind=Pod", EVENT, True),
    ("configmaps", "metadata.namespace=n", POD, True),
    ("pods", r"metadata.name=a\,b", {"metadata": {"name": "a,b"}}, True),
]


@pytest.mark.parametrize(("resource", "text", "obj", "expected"), FIELDS)
def test_fields_are_selected(resource: str, text: str, obj: dict[str, Any], expected: bool) -> None:
    assert parse_fields(resource, text).matches(obj) is expected


@pytest.mark.parametrize(
    ("resource", "text", "sentence"),
    [
        ("pods", "spec.colour=red", "field label not supported: spec.colour"),
        ("configmaps", "x=y", '"x" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        ("pods", "abc", "invalid selector: 'abc'; can't understand 'abc'"),
        ("pods", r"metadata.name=a\b", r"invalid field selector: invalid escape sequence: \b"),
        ("pods", "metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_what_is_no_field_selector(resource: str, text: str, sentence: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_fields(resource, text)
    assert (refused.value.code, refused.value.message) == (400, sentence)


def test_the_name_that_a_selector_wants_can_be_asked_for() -> None:
    assert parse_fields("pods", "metadata.name=p,status.phase!=Failed").exact("metadata.name") == "p"
    assert parse_fields("pods", "metadata.name!=p").exact("metadata.name") is None
