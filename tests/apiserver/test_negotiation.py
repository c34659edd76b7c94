"""Accept headers to the forms of answers."""

from __future__ import annotations

import pytest

from podrun.api.errors import ApiError
from podrun.apiserver.negotiation import JSON, YAML, Form, negotiate

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
ROWS = [
    ("nothing said", "", Form()),
    ("anything", "*/*", Form()),
    ("JSON", "application/json", Form()),
    ("YAML", "application/yaml", Form(YAML)),
    ("kubectl get", f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Form(JSON, "Table")),
    ("a typed Go client", "application/vnd.kubernetes.protobuf,application/json", Form()),
    ("quality decides", "application/json;q=0.5,application/yaml", Form(YAML)),
    (
        "metadata only",
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
        Form(JSON, "PartialObjectMetadataList"),
    ),
    ("an unknown form, then a known one", "application/json;as=Drawing;g=x;v=v1, application/json", Form()),
]


@pytest.mark.parametrize(("accept", "wanted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_first_clause_that_can_be_served_wins(accept: str, wanted: Form) -> None:
    assert negotiate(accept) == wanted


@pytest.mark.parametrize("accept", ["text/html", "application/json;as=Table;v=v9;g=meta.k8s.io", "application/cbor"])
def test_what_cannot_be_made_is_refused(accept: str) -> None:
    with pytest.raises(ApiError) as refused:
        negotiate(accept)
    assert refused.value.code == 406


def test_reviews_have_no_tables() -> None:
    assert negotiate(f"{TABLE},application/json", shapes=False) == Form()
