"""An image written to a directory: what a container would see, whiteouts and owners too, and nothing half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from podrun.images.export import ExportFailed, export
from podrun.images.store import ImageStore
from tests.images.archives import Entry, docker_save, tar_of

BASE = tar_of([Entry("kept", b"kept"), Entry("gone", b"gone"), Entry("folder/old", b"old"), Entry("changed", b"1")])
TOP = tar_of([Entry(".wh.gone", b""), Entry("folder/.wh..wh..opq", b""), Entry("folder/new", b"new"), Entry("changed", b"2")])  # fmt: skip # noqa: E501


@pytest.mark.parametrize("layers", [[BASE], [BASE, TOP]], ids=["one layer", "two layers"])
async def test_is_what_a_container_sees(tmp_path: Path, layers: list[bytes]) -> None:
    store = ImageStore(tmp_path / "images")
    (image,) = await store.load(docker_save(tmp_path / "a.tar", {("one:1",): layers}))
    export(image, tmp_path / "root")
    found = {str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").rglob("*") if path.is_file()}
    if len(layers) == 1:
        assert found == {"kept", "gone", "folder/old", "changed"}
    else:
        assert found == {"kept", "folder/new", "changed"}
        assert (tmp_path / "root" / "changed").read_text() == "2"
    with pytest.raises(ExportFailed, match="is not empty"):
        export(image, tmp_path / "root")
