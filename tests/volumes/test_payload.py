"""What files hold: a row per rule, whole payloads compared."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from podrun.api.pod import ConfigMapSource, DownwardSource, ProjectedSource, SecretSource
from podrun.volumes import payload
from podrun.volumes.payload import File, Sources, Unavailable
from tests.volumes.conftest import pod_of


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


MAP = {"data": {"a": "1", "b": "2"}, "binaryData": {"c": encoded("\0")}}
SECRET = {"data": {"user": encoded("root"), "pass": encoded("x")}}

CONFIG_MAPS: list[tuple[str, dict[str, Any], Any, dict[str, File] | str]] = [
    (
        "every key is a file",
        {"name": "m", "defaultMode": 0o640},
        MAP,
        {"a": File(b"1", 0o640), "b": File(b"2", 0o640), "c": File(b"\0", 0o640)},
    ),
    (
        "items choose, rename and have modes of their own",
        {"name": "m", "items": [{"key": "a", "path": "x/y", "mode": 0o400}, {"key": "c", "path": "c"}]},
        MAP,
        {"x/y": File(b"1", 0o400), "c": File(b"\0", 0o644)},
    ),
    (
        "a key that is not there is named",
        {"name": "m", "items": [{"key": "zzz", "path": "z"}]},
        MAP,
        "configmap references non-existent config key: zzz",
    ),
    ("an optional key may be missing", {"name": "m", "optional": True, "items": [{"key": "z", "path": "z"}]}, MAP, {}),
    ("a map that is not there is named", {"name": "m"}, None, 'configmap "m" not found'),
    ("an optional map may be missing", {"name": "m", "optional": True}, None, {}),
]


@pytest.mark.parametrize(
    ("source", "obj", "expected"), [row[1:] for row in CONFIG_MAPS], ids=[r[0] for r in CONFIG_MAPS]
)
def test_config_map(source: dict[str, Any], obj: Any, expected: dict[str, File] | str) -> None:
    view = ConfigMapSource.model_validate(source)
    if isinstance(expected, str):
        with pytest.raises(Unavailable, match="^" + expected.replace("(", r"\(") + "$"):
            payload.of_config_map(view, obj, view.default_mode)
    else:
        assert payload.of_config_map(view, obj, view.default_mode) == expected


SECRETS: list[tuple[str, dict[str, Any], Any, dict[str, File] | str]] = [
    (
        "values are decoded",
        {"secretName": "s", "defaultMode": 0o400},
        SECRET,
        {"user": File(b"root", 0o400), "pass": File(b"x", 0o400)},
    ),
    ("a secret that is not there is named", {"secretName": "s"}, None, 'secret "s" not found'),
    (
        "a key that is not there is named",
        {"secretName": "s", "items": [{"key": "k", "path": "p"}]},
        SECRET,
        "references non-existent secret key: k",
    ),
]


@pytest.mark.parametrize(("source", "obj", "expected"), [row[1:] for row in SECRETS], ids=[row[0] for row in SECRETS])
def test_secret(source: dict[str, Any], obj: Any, expected: dict[str, File] | str) -> None:
    view = SecretSource.model_validate(source)
    if isinstance(expected, str):
        with pytest.raises(Unavailable) as caught:
            payload.of_secret_volume(view, obj)
        assert str(caught.value) == expected
    else:
        assert payload.of_secret_volume(view, obj) == expected


def test_downward_files_are_fields_and_resources_of_the_pod() -> None:
    source = DownwardSource.model_validate(
        {
            "items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "app", "fieldRef": {"fieldPath": "metadata.labels['app']"}, "mode": 0o400},
                {"path": "cpu", "resourceFieldRef": {"containerName": "a", "resource": "limits.cpu", "divisor": "1m"}},
                {"path": "mem", "resourceFieldRef": {"containerName": "a", "resource": "limits.memory"}},
            ]
        }
    )
    pod = pod_of(containers=[{"name": "a", "resources": {"limits": {"cpu": "250m"}}}])
    assert payload.of_downward(source, pod, {"memory": "1Gi"}, None) == {
        "labels": File(b'app="web"\nb="q\\""', 0o644),
        "app": File(b"web", 0o400),
        "cpu": File(b"250", 0o644),
        "mem": File(b"1073741824", 0o644),
    }


def sources(maps: dict[str, Any]) -> Sources:
    return Sources(maps.get, lambda name: None, lambda source: f"token for {source.audience}", {})


def test_a_projected_volume_joins_its_sources_and_the_later_wins() -> None:
    parts = ProjectedSource.model_validate(
        {
            "sources": [
                {"configMap": {"name": "m"}},
                {"downwardAPI": {"items": [{"path": "b", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
            ],
        }
    )
    assert payload.of_projected(parts.sources, pod_of(), sources({"m": {"data": MAP["data"]}}), 0o644) == {
        "a": File(b"1", 0o644),
        "b": File(b"p", 0o644),
        "token": File(b"token for vault", 0o644),
    }


def test_every_failing_source_of_a_projected_volume_is_named_once() -> None:
    parts = ProjectedSource.model_validate(
        {"sources": [{"configMap": {"name": "m"}}, {"secret": {"name": "s"}}, {"configMap": {"name": "m"}}]}
    )
    with pytest.raises(Unavailable) as caught:
        payload.of_projected(parts.sources, pod_of(), sources({}), None)
    assert str(caught.value) == '[configmap "m" not found, secret "s" not found]'


USERS: list[tuple[str, dict[str, Any], list[dict[str, Any]], tuple[int, int | None]]] = [
    ("nobody is named: for all to read", {}, [{"name": "a"}], (0o644, None)),
    ("one user for the pod: for that user alone", {"runAsUser": 7}, [{"name": "a"}, {"name": "b"}], (0o600, 7)),
    (
        "two users: for all to read",
        {"runAsUser": 7},
        [{"name": "a"}, {"name": "b", "securityContext": {"runAsUser": 8}}],
        (0o644, None),
    ),
    ("an fsGroup: closed, the group's bit comes later", {"fsGroup": 5}, [{"name": "a"}], (0o600, None)),
]


@pytest.mark.parametrize(("context", "containers", "expected"), [row[1:] for row in USERS], ids=[r[0] for r in USERS])
def test_a_token_is_for_its_reader(
    context: dict[str, Any], containers: list[dict[str, Any]], expected: tuple[int, int | None]
) -> None:
    parts = ProjectedSource.model_validate({"sources": [{"serviceAccountToken": {"path": "token"}}]})
    pod = pod_of(containers=containers, securityContext=context)
    file = payload.of_projected(parts.sources, pod, sources({}), 0o644)["token"]
    assert (file.mode, file.owner) == expected
