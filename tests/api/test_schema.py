"""The types behind everything: what the schema and the table of Go's types say of a field; the documents made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from podrun.api.definitions import Definitions
from podrun.api.gotypes import EMBEDDED, exceptions
from podrun.api.gvk import KindRef
from podrun.api.kinds import KINDS
from podrun.api.openapi import document
from podrun.api.schema import Schema, shared

POD = KindRef("", "v1", "Pod")


def test_the_definitions_are_kept_in_a_file(tmp_path: Path) -> None:
    cache = tmp_path / "made" / "schema.json"
    first = Definitions(cache)
    written = cache.stat().st_mtime_ns
    second = Definitions(cache)
    assert cache.stat().st_mtime_ns == written
    assert second.read("io.k8s.api.core.v1.Pod") == first.read("io.k8s.api.core.v1.Pod")
    first.close()
    second.close()


def test_a_file_that_is_no_cache_is_made_anew(tmp_path: Path) -> None:
    cache = tmp_path / "schema.json"
    cache.write_bytes(b"nonsense\n")
    definitions = Definitions(cache)
    assert "io.k8s.api.core.v1.Pod" in definitions
    assert cache.stat().st_size > 1_000_000
    definitions.close()


def test_every_served_kind_has_a_type() -> None:
    for kind in KINDS.values():
        assert shared().for_kind(KindRef(kind.group, kind.version, kind.kind)).fields


def test_the_table_names_only_fields_that_exist() -> None:
    schema = shared()
    for name in schema.definitions:
        fields = schema.struct(name).fields
        assert set(exceptions(name)) <= set(fields)
    for kind, (_, own) in EMBEDDED.items():
        assert set(own) <= set(schema.struct(f"io.k8s.api.core.v1.{kind}").fields)


@pytest.mark.parametrize(
    ("path", "go", "pointer", "omitted"),
    [
        (("spec",), "v1.PodSpec", False, True),
        (("spec", "containers"), "[]v1.Container", False, False),
        (("spec", "containers", "name"), "string", False, False),
        (("spec", "containers", "securityContext"), "v1.SecurityContext", True, True),
        (("spec", "containers", "imagePullPolicy"), "v1.PullPolicy", False, True),
        (("spec", "priority"), "int32", True, True),
        (("spec", "overhead"), "v1.ResourceList", False, True),
        (("metadata", "uid"), "types.UID", False, True),
        (("metadata", "creationTimestamp"), "v1.Time", False, True),
        (("status", "conditions", "lastProbeTime"), "v1.Time", False, False),
        (("status", "startTime"), "v1.Time", True, True),
    ],
)
def test_how_go_holds_a_field(path: tuple[str, ...], go: str, pointer: bool, omitted: bool) -> None:
    field = shared().field_at(POD, *path)
    assert (field.type.go, field.pointer, field.omit_empty) == (go, pointer, omitted)


def test_how_lists_are_merged() -> None:
    ports = shared().field_at(POD, "spec", "containers", "ports")
    assert (ports.merge_key, ports.strategy) == ("containerPort", ("merge",))
    assert (ports.type.list_type, ports.type.keys) == ("map", ("containerPort", "protocol"))
    assert shared().field_at(POD, "spec", "containers", "command").type.list_type == "atomic"
    assert shared().field_at(POD, "metadata", "finalizers").type.list_type == "set"


def test_an_unknown_kind_has_no_type() -> None:
    with pytest.raises(KeyError):
        shared().for_kind(KindRef("", "v9", "Pod"))


def test_a_document_says_what_kubectl_looks_for() -> None:
    core = [kind for kind in KINDS.values() if not kind.group]
    made = document(("", "v1"), core)
    patch = made["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert set(patch["requestBody"]["content"]) == {
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    }
    assert {"dryRun", "fieldManager", "fieldValidation", "force"} == {one["name"] for one in patch["parameters"]}
    container = made["components"]["schemas"]["io.k8s.api.core.v1.Container"]
    assert container["properties"]["resources"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.api.core.v1.ResourceRequirements"}
    ]


def test_a_document_is_whole_and_names_each_operation_once() -> None:
    for group, version in {(kind.group, kind.version) for kind in KINDS.values()}:
        kinds = [kind for kind in KINDS.values() if (kind.group, kind.version) == (group, version)]
        made = document((group, version), kinds)
        schemas = made["components"]["schemas"]
        text = str(made)
        assert "$defs" not in text
        for name in set(text.split("#/components/schemas/")[1:]):
            assert name.split("'")[0] in schemas
        ids = [
            operation["operationId"]
            for operations in made["paths"].values()
            for method, operation in operations.items()
            if method != "parameters"
        ]
        assert len(ids) == len(set(ids))


def test_a_schema_of_ones_own_reads_no_more_than_it_is_asked_for(tmp_path: Path) -> None:
    schema = Schema(Definitions(tmp_path / "schema.json"))
    schema.struct("io.k8s.api.core.v1.ConfigMap")
    assert len(schema._structs) == 1
    schema.definitions.close()
