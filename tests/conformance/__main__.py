"""Plays Kubernetes' own [NodeConformance] specs on a podrun of its own: `python -m tests.conformance [REGEX]`.

The specs are built from Kubernetes' module once (half an hour, 8 GB of caches), and need images that stand in for the
project's own (stand_ins.py). Most specs wait most of the time: they are dealt to processes that run side by side. What
failed is named; the logs stay in the directory that is printed first.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clients.go_programs import GoProgram, build
from tests.conformance import stand_ins
from tests.conftest import shipped_images
from tests.harness import Podrun

SOURCES = Path(__file__).with_name("go")
KUBERNETES = "k8s.io/kubernetes/test/images"
SUITE = GoProgram("conformance", ".", directory=SOURCES, tests=True)
AGNHOST = GoProgram("agnhost", f"{KUBERNETES}/agnhost", directory=SOURCES)
NNP = GoProgram("nnp", f"{KUBERNETES}/nonewprivs", directory=SOURCES)

WITHOUT_END = "cap back-off at MaxContainerBackOff"
"""Takes 25 minutes by itself."""

PROBES, OTHERS = 9, 4
"""Processes for specs of probes, which look on for four minutes each, and for the others; a slow one has its own."""

Case = tuple[str, str]
"""A spec's text and how it went: passed, failed, skipped."""


def main(pattern: str) -> int:
    """Play the specs that match; the exit code is 1 where one failed."""
    for program in (SUITE, AGNHOST, NNP):
        if not build(program, print):
            return 1
    results = Path(tempfile.mkdtemp(prefix="podrun-conformance-"))
    print(f"logs: {results}", flush=True)
    archives = stand_ins.write(results, AGNHOST.path, NNP.path)
    with Podrun.start(images=shipped_images()) as podrun:
        for archive in archives:
            podrun.podrun("images", "load", archive, seconds=300)
            archive.unlink()
        cases = [case for number in _play(podrun, _dealt(specs(pattern)), results) for case in number]
    failed = sorted(text for text, how in cases if how == "failed")
    passed = sum(how == "passed" for _, how in cases)
    for text in failed:
        print(f"failed: {text}")
    print(f"{passed} passed, {len(failed)} failed, {len(cases) - passed - len(failed)} skipped")
    return 1 if failed else 0


def specs(pattern: str) -> list[str]:
    """The texts of all specs that match a regular expression."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        dry = [f"-ginkgo.focus={pattern}", "-ginkgo.dry-run", f"-ginkgo.json-report={report}", "--provider=local"]
        subprocess.run([SUITE.path, *dry, "--kubeconfig=/dev/null"], check=True, capture_output=True)
        return sorted({text for text, how in _cases(report) if how == "passed"})


def _dealt(texts: list[str]) -> list[list[str]]:
    """Hands of specs, one for each process; those that bear no company ([Serial]) are one hand."""
    hands: dict[str, list[str]] = {}
    for place, text in enumerate(texts):
        if WITHOUT_END in text:
            continue
        if "[Slow]" in text:
            hands[text] = [text]
        elif "[Serial]" in text:
            hands.setdefault("serial", []).append(text)
        elif "Probing" in text:
            hands.setdefault(f"probes {place % PROBES}", []).append(text)
        else:
            hands.setdefault(f"others {place % OTHERS}", []).append(text)
    return list(hands.values())


def _play(podrun: Podrun, hands: list[list[str]], results: Path) -> list[list[Case]]:
    processes = []
    for number, hand in enumerate(hands):
        focus = "|".join(map(_literally, hand))
        options = [f"-ginkgo.focus={focus}", "-ginkgo.v", "-ginkgo.no-color", "-ginkgo.timeout=1h"]
        options += [f"-ginkgo.json-report={results / f'{number}.json'}", f"--kubeconfig={podrun.kubeconfig}"]
        argv = podrun.inside(SUITE.path, *options, "--provider=local", "--num-nodes=1")
        with (results / f"{number}.log").open("w") as log:
            processes.append(subprocess.Popen(argv, stdout=log, stderr=log, env=podrun.environment()))
    for process in processes:
        process.wait()
    return [_cases(results / f"{number}.json") for number in range(len(hands))]


def _literally(text: str) -> str:
    """A regular expression of Go's for just this text (Python's own escapes are not all Go's)."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def _cases(report: Path) -> list[Case]:
    """What a report of Ginkgo's says of the specs that were chosen."""
    (suite,) = json.loads(report.read_text())
    found = []
    for spec in suite["SpecReports"]:
        if spec["LeafNodeType"] == "It":
            text = " ".join([*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]])
            state = spec["State"]
            how = state if state in ("passed", "skipped") else "failed"
            if state != "skipped" or spec.get("Failure"):  # without a reason it was not chosen
                found.append((text, how))
    return found


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or [r"\[NodeConformance\]"])))
