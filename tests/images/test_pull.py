"""Pulling: from a real registry, and from one that breaks, refuses and lies."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from podrun.images.manifests import OCI_INDEX, OCI_MANIFEST, architecture
from podrun.images.model import Credentials, ImageError, Progress, Reason, Source
from podrun.images.store import ImageStore
from tests.images.archives import Entry, config_of, descriptor, docker_save, sha256, tar_of
from tests.images.registries import FakeRegistry, docker_registry, serving, skopeo

BASE = tar_of([Entry("base", b"base")])
TOP = tar_of([Entry("top", hashlib.shake_128(b"noise").digest(1 << 20))])
HTPASSWD = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
"""bcrypt of `secret`"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A docker-registry that holds app:1 (docker schema 2), app:oci and many:1 (an index)."""
    directory = tmp_path_factory.mktemp("registry")
    archive = docker_save(directory / "app.tar", {("app:1",): [BASE, TOP]})
    with docker_registry(directory) as address:
        skopeo("copy", "--dest-tls-verify=false", f"docker-archive:{archive}", f"docker://{address}/app:1")
        skopeo(
            "copy",
            "--dest-tls-verify=false",
            "--format=oci",
            f"docker-archive:{archive}",
            f"docker://{address}/app:oci",
        )
        yield address


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.mark.parametrize("tag", ["1", "oci"])
async def test_an_image_of_a_real_registry(store: ImageStore, real: str, tag: str) -> None:
    image = await store.pull(f"{real}/app:{tag}")
    assert image.references == (f"{real}/app:{tag}",)
    assert (image.layers[1] / "top").stat().st_size == 1 << 20
    assert image.source is Source.PULLED
    (digest,) = image.digests
    assert digest.startswith(f"{real}/app@sha256:")
    assert image.image_id == digest
    assert store.get(digest) == image
    assert await store.pull(digest) == image
    assert list((store._root / "downloads").iterdir()) == []


async def test_a_real_registry_without_the_image(store: ImageStore, real: str) -> None:
    with pytest.raises(ImageError) as caught:
        await store.pull(f"{real}/none/such:1")
    name = f"{real}/none/such:1"
    assert str(caught.value) == (
        f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": {name}: not found'
    )
    assert caught.value.reason is Reason.PULL


async def test_a_real_registry_with_passwords(tmp_path: Path, store: ImageStore) -> None:
    archive = docker_save(tmp_path / "app.tar", {("app:1",): [BASE]})
    (tmp_path / "registry").mkdir()
    with docker_registry(tmp_path / "registry", {"me": HTPASSWD}) as address:
        skopeo(
            "copy", "--dest-tls-verify=false", "--dest-creds=me:secret",
            f"docker-archive:{archive}", f"docker://{address}/app:1",
        )  # fmt: skip
        name = f"{address}/app:1"
        denied = "pull access denied, repository does not exist or may require authorization: authorization failed"
        prefix = f'failed to resolve reference "{name}": '
        assert await failure(store, name) == f"{prefix}{denied}: no basic auth credentials"
        assert await failure(store, name, Credentials("me", "wrong")) == (
            f"{prefix}unexpected status from HEAD request to http://{address}/v2/app/manifests/1: 401 Unauthorized"
        )
        assert await store.pull(name, [Credentials("me", "wrong"), Credentials("me", "secret")])


async def test_a_mirror_is_asked_first_and_for_whom(tmp_path: Path, real: str) -> None:
    store = ImageStore(tmp_path / "images", mirrors={"docker.io": ["http://127.0.0.1:1", f"http://{real}"]})
    skopeo(
        "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
        f"docker://{real}/app:1", f"docker://{real}/library/app:1",
    )  # fmt: skip
    image = await store.pull("app:1")
    assert image.references == ("docker.io/library/app:1",)


async def test_a_pull_replaces_a_stand_in_and_a_build_does_not_come_back(tmp_path: Path, real: str) -> None:
    recipe = tmp_path / "app.yaml"
    recipe.write_text(f'names: ["{real}/app:1"]\nstand_in: true\nlayers: [{{files: {{/a: x}}}}]\n')
    store = ImageStore(tmp_path / "images")
    assert (await store.build(recipe)).stand_in
    pulled = await store.pull(f"{real}/app:1")
    assert not pulled.stand_in
    assert store.list() == (pulled,)
    await store.build(recipe)
    assert store.get(f"{real}/app:1") == pulled


# What follows is the same image in a registry that can misbehave


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    registry = FakeRegistry()
    registry.add("1", OCI_MANIFEST, *image_of([BASE, TOP]))
    async with serving(registry):
        yield registry


def image_of(layers: list[bytes]) -> tuple[bytes, list[bytes]]:
    """A manifest and its blobs."""
    config = config_of(layers)
    packed = [gzip.compress(layer) for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config),
        "layers": [descriptor(blob) for blob in packed],
    }
    return json.dumps(manifest).encode(), [config, *packed]


async def failure(store: ImageStore, name: str, *credentials: Credentials) -> str:
    with pytest.raises(ImageError) as caught:
        await store.pull(name, credentials)
    assert str(caught.value).startswith(f'failed to pull and unpack image "{name}": ')
    assert store.list() == ()
    return str(caught.value).partition(": ")[2]


async def test_a_broken_download_goes_on_where_it_broke(store: ImageStore, fake: FakeRegistry) -> None:
    fake.break_after = [1000, 200_000, 5, 0]
    image = await store.pull(f"{fake.address}/app:1")
    assert (image.layers[1] / "top").stat().st_size == 1 << 20
    ranges = [one["Range"] for one in fake.headers if "Range" in one]
    assert ranges


async def test_a_server_that_cannot_resume_is_read_from_the_start(store: ImageStore, fake: FakeRegistry) -> None:
    fake.break_after, fake.resumes = [500_000], False
    assert await store.pull(f"{fake.address}/app:1")


async def test_the_next_pull_goes_on_where_a_failed_one_gave_up(store: ImageStore, fake: FakeRegistry) -> None:
    fake.break_after = [100_000] * 10
    words = await failure(store, f"{fake.address}/app:1")
    assert words.startswith("failed to copy: httpReadSeeker: failed open: ")
    assert list((store._root / "layers").iterdir()) == []
    fake.break_after = []
    fake.headers.clear()
    await store.pull(f"{fake.address}/app:1")
    assert any("Range" in one for one in fake.headers)


async def test_pulls_of_one_image_happen_once_and_everyone_sees_progress(store: ImageStore, fake: FakeRegistry) -> None:
    seen: list[list[Progress]] = [[], [], []]
    name = f"{fake.address}/app:1"
    images = await asyncio.gather(*(store.pull(name, on_progress=steps.append) for steps in seen))
    assert images[0] == images[1] == images[2]
    assert len([one for one in fake.requests if one.startswith("HEAD")]) == 1
    assert len([one for one in fake.requests if "/blobs/" in one]) == 3
    for steps in seen:
        assert {"downloading", "unpacked"} <= {one.step for one in steps}


async def test_one_who_no_longer_waits_takes_nothing_from_the_others(store: ImageStore, fake: FakeRegistry) -> None:
    name = f"{fake.address}/app:1"
    first, second = (asyncio.ensure_future(store.pull(name)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).references == (name,)


async def test_images_with_a_layer_in_common_at_once(store: ImageStore, fake: FakeRegistry) -> None:
    fake.add("2", OCI_MANIFEST, *image_of([BASE, TOP, tar_of([Entry("more")])]))
    await asyncio.gather(*(store.pull(f"{fake.address}/app:{tag}") for tag in ("1", "2")))
    assert len(store.list()) == 2
    assert len({layer for image in store.list() for layer in image.layers}) == 3


async def test_a_known_layer_is_not_downloaded(store: ImageStore, fake: FakeRegistry, tmp_path: Path) -> None:
    await store.load(docker_save(tmp_path / "a.tar", {("a:1",): [TOP]}))
    await store.pull(f"{fake.address}/app:1")
    assert len([one for one in fake.requests if "/blobs/" in one]) == 2


async def test_the_image_of_this_machine_out_of_an_index(store: ImageStore, fake: FakeRegistry) -> None:
    manifest = fake.manifests["1"][1]
    entries = [
        {**descriptor(b"other"), "platform": {"os": "linux", "architecture": "s390x"}},
        {**descriptor(manifest), "platform": {"os": "linux", "architecture": architecture()}},
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    digest = fake.add("many", OCI_INDEX, index)
    image = await store.pull(f"{fake.address}/app:many")
    assert image.digests == (f"{fake.address}/app@{digest}",)
    fake.add("foreign", OCI_INDEX, json.dumps({"manifests": entries[:1]}).encode())
    await store.remove(image.id)
    words = await failure(store, f"{fake.address}/app:foreign")
    assert words == "no match for platform in manifest: not found"


async def test_content_that_is_not_what_was_asked_for_is_refused(store: ImageStore, fake: FakeRegistry) -> None:
    good = gzip.compress(TOP)
    evil = b"e" * len(good)
    fake.blobs[sha256(good)] = evil
    words = await failure(store, f"{fake.address}/app:1")
    assert words == (
        f'failed commit on ref "layer-{sha256(good)}": unexpected commit digest {sha256(evil)}, '
        f"expected {sha256(good)}: failed precondition"
    )
    assert list((store._root / "layers").iterdir()) == []
    fake.blobs[sha256(good)] = good
    assert await store.pull(f"{fake.address}/app:1")


async def test_a_manifest_that_is_not_what_was_asked_for_is_refused(store: ImageStore, fake: FakeRegistry) -> None:
    media_type, content = fake.manifests["1"]
    fake.manifests[sha256(content)] = (media_type, content + b" ")
    words = await failure(store, f"{fake.address}/app:1")
    assert words.startswith(f"unexpected commit digest {sha256(content + b' ')}, expected {sha256(content)}")


async def test_a_token_is_fetched_with_the_log_in(store: ImageStore, fake: FakeRegistry) -> None:
    fake.token, fake.accounts = "t0k3n", {"me": "secret"}
    name = f"{fake.address}/app:1"
    words = await failure(store, name)
    assert words.startswith(
        f'failed to resolve reference "{name}": failed to authorize: failed to fetch anonymous token: '
        f"unexpected status from GET request to http://{fake.address}/token?"
    )
    assert words.endswith(": 401 Unauthorized")
    assert await store.pull(name, [Credentials("me", "wrong"), Credentials("me", "secret")])
    assert "GET /token?service=test&scope=repository:app:pull" in fake.requests


async def test_a_token_that_runs_out_in_the_middle_is_renewed(store: ImageStore, fake: FakeRegistry) -> None:
    fake.token, fake.token_uses = "t0k3n", 2
    assert await store.pull(f"{fake.address}/app:1")
    assert len([one for one in fake.requests if "/token" in one]) > 1


async def test_a_log_in_of_the_machines_own_configuration(tmp_path: Path, fake: FakeRegistry) -> None:
    fake.token, fake.accounts = "t0k3n", {"me": "secret"}
    config = tmp_path / "config.json"
    auth = base64.b64encode(b"me:secret").decode()
    config.write_text(json.dumps({"auths": {fake.address: {"auth": auth}, "other.example": {"auth": "eDp5"}}}))
    store = ImageStore(tmp_path / "images", docker_config=config)
    assert await store.pull(f"{fake.address}/app:1")


async def test_a_log_in_is_not_sent_to_a_mirror(tmp_path: Path, fake: FakeRegistry) -> None:
    fake.token, fake.accounts = "t0k3n", {"me": "secret"}
    store = ImageStore(tmp_path / "images", mirrors={"127.0.0.1:1": [f"http://{fake.address}"]})
    with pytest.raises(ImageError):
        await store.pull("127.0.0.1:1/app:1", [Credentials("me", "secret")])
    assert fake.requests
    assert not [one for one in fake.headers if "Basic" in one.get("Authorization", "")]


async def test_no_registry_is_there(store: ImageStore) -> None:
    """As recorded from Kubernetes 1.36 with containerd."""
    words = await failure(store, "127.0.0.1:1/nope:1")
    assert words == (
        'failed to resolve reference "127.0.0.1:1/nope:1": failed to do request: '
        'Head "http://127.0.0.1:1/v2/nope/manifests/1": dial tcp 127.0.0.1:1: connect: connection refused'
    )


async def test_no_such_host(store: ImageStore) -> None:
    words = await failure(store, "registry.invalid/nope:1")
    assert words == (
        'failed to resolve reference "registry.invalid/nope:1": failed to do request: '
        'Head "https://registry.invalid/v2/nope/manifests/1": dial tcp: lookup registry.invalid: no such host'
    )


async def test_a_registry_in_trouble(store: ImageStore, fake: FakeRegistry) -> None:
    fake.status = 503
    name = f"{fake.address}/app:1"
    assert await failure(store, name) == (
        f'failed to resolve reference "{name}": unexpected status from HEAD request to '
        f"http://{fake.address}/v2/app/manifests/1: 503 Service Unavailable"
    )
