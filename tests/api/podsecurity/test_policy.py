"""What a namespace's labels ask for, and what is said of pods and of namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.podsecurity import admission
from podrun.api.podsecurity.admission import FINE, Verdict, judge_namespace, judge_pod, judge_template
from podrun.api.podsecurity.policy import LevelVersion, Policy, of_labels

Object = dict[str, Any]

ANY = LevelVersion()
PREFIX = "pod-security.kubernetes.io/"
PLAIN = {"containers": [{"name": "c", "image": "x"}]}
PRIVILEGED = {"containers": [{"name": "c", "image": "x", "securityContext": {"privileged": True}}]}
REASON = 'privileged (container "c" must not set securityContext.privileged=true)'

POLICIES = [
    ("no labels", {}, Policy(ANY, ANY, ANY)),
    ("other labels", {"enforce": "restricted"}, Policy(ANY, ANY, ANY)),
    (
        "what is enforced is warned about too",
        {PREFIX + "enforce": "restricted", PREFIX + "enforce-version": "v1.30"},
        Policy(LevelVersion("restricted", "v1.30"), ANY, LevelVersion("restricted", "v1.30")),
    ),
    (
        "but in the version for warnings where there is one",
        {PREFIX + "enforce": "baseline", PREFIX + "warn-version": "v1.20"},
        Policy(LevelVersion("baseline"), ANY, LevelVersion("baseline", "v1.20")),
    ),
    (
        "and not where warnings have a level",
        {PREFIX + "enforce": "restricted", PREFIX + "warn": "privileged"},
        Policy(LevelVersion("restricted"), ANY, ANY),
    ),
    (
        "each mode has its own",
        {PREFIX + "enforce": "privileged", PREFIX + "audit": "baseline", PREFIX + "warn": "restricted"},
        Policy(ANY, LevelVersion("baseline"), LevelVersion("restricted")),
    ),
    (
        "what is no level fails shut where it is enforced, open elsewhere",
        {PREFIX + "enforce": "strict", PREFIX + "audit": "strict", PREFIX + "warn": ""},
        Policy(LevelVersion("restricted"), ANY, ANY),
    ),
    (
        "what is no version is the latest",
        {PREFIX + "enforce": "baseline", PREFIX + "enforce-version": "1.30"},
        Policy(LevelVersion("baseline"), ANY, LevelVersion("baseline")),
    ),
]


@pytest.mark.parametrize(("labels", "expected"), [row[1:] for row in POLICIES], ids=[row[0] for row in POLICIES])
def test_policies(labels: dict[str, str], expected: Policy) -> None:
    assert of_labels(labels).policy == expected


def test_what_is_wrong_with_labels() -> None:
    bad = {
        "enforce": "strict",
        "enforce-version": "v1.01",
        "audit-version": "v2.0",
        "warn": "",
        "warn-version": "v1.\u0663",
    }
    causes = of_labels({PREFIX + name: value for name, value in bad.items()}).causes
    field = f"metadata.labels[{PREFIX}"
    assert [(cause.field, cause.message) for cause in causes] == [
        (f"{field}enforce]", 'Invalid value: "strict": must be one of privileged, baseline, restricted'),
        (f"{field}enforce-version]", 'Invalid value: "v1.01": must be "latest" or "v1.x"'),
        (f"{field}audit-version]", 'Invalid value: "v2.0": must be "latest" or "v1.x"'),
        (f"{field}warn]", 'Invalid value: "": must be one of privileged, baseline, restricted'),
        (f"{field}warn-version]", 'Invalid value: "v1.\u0663": must be "latest" or "v1.x"'),
    ]


def namespace(**labels: str) -> Object:
    named = {PREFIX + name.replace("_", "-"): value for name, value in labels.items()}
    return {"metadata": {"name": "n", "labels": named}}


def pod(spec: Object, name: str = "p", **metadata: Any) -> Object:
    return {"metadata": {"name": name, **metadata}, "spec": spec}


class TestPods:
    def test_one_that_is_forbidden(self) -> None:
        verdict = judge_pod(pod(PRIVILEGED), None, namespace(enforce="baseline", audit="baseline"))
        assert verdict.refusal is not None
        assert verdict.refusal.code == 403
        assert verdict.refusal.message == f'pods "p" is forbidden: violates PodSecurity "baseline:latest": {REASON}'
        assert verdict.refusal.details == {"name": "p", "kind": "pods"}
        assert verdict.warnings == ()
        assert verdict.audit == f'would violate PodSecurity "baseline:latest": {REASON}'

    def test_one_that_is_warned_about(self) -> None:
        verdict = judge_pod(pod(PRIVILEGED), None, namespace(warn="baseline", warn_version="v1.20"))
        assert verdict == Verdict(warnings=(f'would violate PodSecurity "baseline:v1.20": {REASON}',))

    def test_a_template_is_never_refused(self) -> None:
        verdict = judge_template(pod(PRIVILEGED), namespace(enforce="baseline"))
        assert verdict == Verdict(warnings=(f'would violate PodSecurity "baseline:latest": {REASON}',))

    def test_a_change_that_matters_not(self) -> None:
        labelled = pod(PRIVILEGED, labels={"a": "b"})
        assert judge_pod(labelled, pod(PRIVILEGED), namespace(enforce="baseline")) == FINE

    @pytest.mark.parametrize(
        "spec",
        [
            {"containers": [{**PRIVILEGED["containers"][0], "image": "y"}]},
            {"containers": PRIVILEGED["containers"], "ephemeralContainers": [{"name": "d", "image": "x"}]},
        ],
        ids=["another image", "an ephemeral container"],
    )
    def test_a_change_that_matters(self, spec: Object) -> None:
        assert judge_pod(pod(spec), pod(PRIVILEGED), namespace(enforce="baseline")).refusal is not None


class TestNamespaces:
    def test_bad_labels(self) -> None:
        refusal = judge_namespace(namespace(enforce="x"), None, ()).refusal
        assert refusal is not None
        assert (refusal.code, refusal.message) == (
            422,
            'Namespace "n" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "x": must '
            "be one of privileged, baseline, restricted",
        )
        assert judge_namespace(namespace(enforce="x"), namespace(), ()).refusal is not None
        assert judge_namespace(namespace(enforce="x"), namespace(enforce="x"), ()).refusal is None

    def test_pods_that_are_there_are_told(self) -> None:
        pods = [pod(PRIVILEGED, name) for name in ("d", "b", "c")] + [pod(PLAIN, "a")]
        pods.append(pod({**PLAIN, "hostPID": True}, "z"))
        pods += [pod({**PLAIN, "hostIPC": True, "hostPID": True}, name) for name in ("y", "x")]
        verdict = judge_namespace(namespace(enforce="baseline"), namespace(), pods)
        assert verdict.warnings == (
            'existing pods in namespace "n" violate the new PodSecurity enforce level "baseline:latest"',
            "b (and 2 other pods): privileged",
            "x (and 2 other pods): host namespaces",
        )

    @pytest.mark.parametrize(
        ("new", "old"),
        [
            ({"enforce": "baseline"}, {"enforce": "restricted"}),
            ({"enforce": "privileged"}, {"enforce": "baseline", "enforce_version": "v1.2"}),
            ({"enforce": "baseline", "warn": "restricted"}, {"enforce": "baseline"}),
        ],
        ids=["a looser level", "no level", "the same enforced"],
    )
    def test_changes_that_let_every_pod_stay(self, new: dict[str, str], old: dict[str, str]) -> None:
        assert judge_namespace(namespace(**new), namespace(**old), [pod(PRIVILEGED)]) == FINE

    def test_a_newer_version_is_looked_at(self) -> None:
        new, old = namespace(enforce="baseline"), namespace(enforce="baseline", enforce_version="v1.2")
        assert len(judge_namespace(new, old, [pod(PRIVILEGED)]).warnings) == 2

    def test_too_many_pods(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admission, "MOST_PODS", 2)
        owner = {"ownerReferences": [{"uid": "u", "controller": True}]}
        pods = [pod(PLAIN, "a", **owner), pod(PLAIN, "b", **owner), pod(PRIVILEGED, "c")]
        assert judge_namespace(namespace(enforce="baseline"), namespace(), pods).warnings == (
            "new PodSecurity enforce level only checked against the first 2 of 3 existing pods",
            'existing pods in namespace "n" violate the new PodSecurity enforce level "baseline:latest"',
            "c: privileged",
        )
