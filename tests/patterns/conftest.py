"""A daemon with the images of the patterns, whose manifests are applied as a person does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT, pattern_images
from tests.harness import Podrun, wait_until

PATTERNS = PROJECT / "examples" / "patterns"


class Pattern:
    """One folder of examples/patterns, played on a daemon."""

    def __init__(self, podrun: Podrun, folder: Path) -> None:
        self.podrun = podrun
        self.folder = folder

    def apply(self, *names: str) -> None:
        """`kubectl apply -f NAME` for files of the folder."""
        self.podrun.kubectl("apply", *(word for name in names for word in ("-f", self.folder / name)))

    def wait(self, *pods: str, until: str = "condition=Ready") -> None:
        """`kubectl wait`."""
        self.podrun.kubectl("wait", *(f"pod/{pod}" for pod in pods), f"--for={until}", "--timeout=50s")

    def logs(self, pod: str, container: str) -> str:
        return self.podrun.kubectl("logs", pod, "-c", container)

    def logged(self, pod: str, container: str, text: str) -> str:
        """A container's log, once it holds a text."""
        words = ("kubectl", "logs", pod, "-c", container)

        def said() -> bool:
            return text in self.podrun.run(*words, check=False).stdout  # there is no log before the start

        wait_until(said, 20, f"{pod}/{container} has not said {text!r}", every=0.2)
        return self.logs(pod, container)

    def exec(self, pod: str, container: str, *words: str) -> str:
        return self.podrun.kubectl("exec", pod, "-c", container, "--", *words)

    def field(self, pod: str, path: str) -> str:
        return self.podrun.kubectl("get", "pod", pod, "-o", f"jsonpath={path}")

    def restarts(self, pod: str) -> set[int]:
        """How often its containers have been started again."""
        status = self.podrun.get("pod", pod)["status"]
        return {each["restartCount"] for each in status["containerStatuses"] + status.get("initContainerStatuses", [])}

    def page(self, url: str) -> str:
        """What is at an address, asked from the machine."""
        script = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
        return self.podrun.run("python", "-c", script, url).stdout


@pytest.fixture(scope="module")
def patterns_podrun() -> Iterator[Podrun]:
    with Podrun.start(images=pattern_images()) as podrun:
        yield podrun
        assert podrun.leaks() == {}


@pytest.fixture
def play(patterns_podrun: Podrun) -> Iterator[Callable[[str], Pattern]]:
    """Gives a folder of examples/patterns by its name; afterwards everything of it is removed."""
    played: list[Path] = []

    def folder(name: str) -> Pattern:
        played.append(PATTERNS / name)
        return Pattern(patterns_podrun, played[-1])

    yield folder
    patterns_podrun.delete_pods()
    for each in played:
        patterns_podrun.kubectl("delete", "-f", each, "--ignore-not-found")
