"""What every room's tests may use: a podrun of their own, images that are ready, and a check that nothing is left.

    def test_something(podrun):             one daemon for the module's tests; pods are removed after each test
    def test_crash(new_podrun):             new_podrun(options=[...], config={...}) starts another, for one test

See harness.py for what can be done with it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import Podrun, prepare_images

PROJECT = Path(__file__).resolve().parents[1]
IMAGE_SOURCES = PROJECT / "images"
PATTERN_IMAGES = IMAGE_SOURCES / "patterns"


def _key_of(*sources: Path) -> str:
    """A name for the content of image recipes and of what builds them."""
    digest = hashlib.sha256()
    for path in sorted([*sources, *(PROJECT / "podrun/images").rglob("*.py")]):
        if path.is_file():
            digest.update(str(path.relative_to(PROJECT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def shipped_images() -> Path:
    """An image directory that holds the shipped images, built once per machine and content."""
    sources = [path for path in IMAGE_SOURCES.rglob("*") if PATTERN_IMAGES not in path.parents]
    return prepare_images([IMAGE_SOURCES], _key_of(*sources))


def pattern_images() -> Path:
    """An image directory with busybox and the images of examples/patterns, built once per machine and content."""
    recipes = [IMAGE_SOURCES / "busybox.yaml", *PATTERN_IMAGES.glob("*.yaml")]
    return prepare_images(recipes, f"patterns-{_key_of(*recipes)}", "patterns-work")


@pytest.fixture(scope="session")
def images() -> Path:
    return shipped_images()


@pytest.fixture(scope="module")
def module_podrun(images: Path) -> Iterator[Podrun]:
    with Podrun.start(images=images) as podrun:
        yield podrun


@pytest.fixture
def podrun(module_podrun: Podrun) -> Iterator[Podrun]:
    """The module's daemon; after the test its pods are removed and nothing of them may be left."""
    yield module_podrun
    module_podrun.delete_pods()
    assert module_podrun.leaks() == {}


@pytest.fixture
def new_podrun(images: Path) -> Iterator[Callable[..., Podrun]]:
    """Starts a daemon for this test alone: `new_podrun(options=[...], config={...})`."""
    with contextlib.ExitStack() as stack:

        def start(**arguments: object) -> Podrun:
            return stack.enter_context(Podrun.start(images=images, **arguments))  # type: ignore[arg-type]

        yield start
