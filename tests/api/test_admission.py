"""What admission adds to a new pod, and which pods it forbids."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.admission import Lookups, admit_pod, admit_pod_update
from podrun.api.decode import normalise
from podrun.api.defaults import apply_defaults
from podrun.api.errors import ApiError
from podrun.api.gvk import KindRef

POD = KindRef("", "v1", "Pod")
MOUNT = {
    "name": "kube-api-access-xxxxx",
    "readOnly": True,
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
}
TOLERATIONS = [
    {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for name in ("not-ready", "unreachable")
]
HIGH = {"metadata": {"name": "high"}, "value": 100, "preemptionPolicy": "Never"}


def pod(**spec: Any) -> dict[str, Any]:
    given = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x:1"}], **spec}}
    return apply_defaults(POD, normalise(POD, given))


def account(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "default"}, **fields}


def lookups(
    accounts: list[dict[str, Any]] | None = None,
    classes: list[dict[str, Any]] | None = None,
    runtime: dict[str, Any] | None = None,
) -> Lookups:
    known = {one["metadata"]["name"]: one for one in (accounts if accounts is not None else [account()])}
    return Lookups(known.get, lambda name: runtime, lambda: classes or [], lambda: "kube-api-access-xxxxx")


def admitted(given: dict[str, Any], **found: Any) -> dict[str, Any]:
    made: dict[str, Any] = admit_pod(given, "ns", lookups(**found))["spec"]
    return made


def refusal(given: dict[str, Any], **found: Any) -> str:
    with pytest.raises(ApiError) as refused:
        admit_pod(given, "ns", lookups(**found))
    assert refused.value.code == 403
    head = 'pods "p" is forbidden: '
    assert refused.value.message.startswith(head)
    return refused.value.message.removeprefix(head)


def test_a_pod_gets_its_account_a_token_tolerations_and_a_priority() -> None:
    made = admitted(pod())
    assert made["serviceAccountName"] == made["serviceAccount"] == "default"
    assert made["containers"][0]["volumeMounts"] == [MOUNT]
    (volume,) = made["volumes"]
    assert volume["name"] == "kube-api-access-xxxxx"
    assert volume["projected"]["sources"][0] == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    assert made["tolerations"] == TOLERATIONS
    assert (made["priority"], made["preemptionPolicy"]) == (0, "PreemptLowerPriority")


def test_the_pods_word_about_the_token_beats_the_accounts() -> None:
    unwilling = account(automountServiceAccountToken=False)
    assert "volumes" not in admitted(pod(), accounts=[unwilling])
    assert "volumes" in admitted(pod(automountServiceAccountToken=True), accounts=[unwilling])
    assert "volumes" not in admitted(pod(automountServiceAccountToken=False))


def test_a_container_that_mounts_something_there_gets_no_token() -> None:
    own = {"name": "v", "mountPath": MOUNT["mountPath"]}
    made = admitted(pod(volumes=[{"name": "v"}], containers=[{"name": "a", "volumeMounts": [own]}]))
    assert [volume["name"] for volume in made["volumes"]] == ["v"]


def test_pull_secrets_come_from_the_account_unless_the_pod_has_some() -> None:
    accounts = [account(imagePullSecrets=[{"name": "s"}])]
    assert admitted(pod(), accounts=accounts)["imagePullSecrets"] == [{"name": "s"}]
    own = pod(imagePullSecrets=[{"name": "mine"}])
    assert admitted(own, accounts=accounts)["imagePullSecrets"] == [{"name": "mine"}]


def test_tolerations_that_say_it_are_left_alone() -> None:
    mine = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    assert admitted(pod(tolerations=[mine]))["tolerations"] == [mine, TOLERATIONS[1]]
    everything = {"operator": "Exists"}
    assert admitted(pod(tolerations=[everything]))["tolerations"] == [everything]


def test_priority_comes_from_the_class_named_or_the_default_one() -> None:
    made = admitted(pod(priorityClassName="high"), classes=[HIGH])
    assert (made["priority"], made["preemptionPolicy"]) == (100, "Never")
    usual = {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True}
    made = admitted(pod(), classes=[HIGH, usual])
    assert (made["priorityClassName"], made["priority"]) == ("usual", 7)


def test_a_runtime_class_brings_its_overhead_and_scheduling() -> None:
    runtime = {"overhead": {"podFixed": {"cpu": "1"}}, "scheduling": {"nodeSelector": {"a": "b"}}}
    made = admitted(pod(runtimeClassName="r"), runtime=runtime)
    assert made["overhead"] == {"cpu": "1"}
    assert made["nodeSelector"] == {"a": "b"}


WHY = "must not be provided in pod spec; priority admission controller computed"
REFUSALS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    (
        "an unknown account",
        {},
        {"accounts": []},
        'error looking up service account ns/default: serviceaccount "default" not found',
    ),
    ("an unknown class", {"priorityClassName": "zzz"}, {}, "no PriorityClass with name zzz was found"),
    (
        "a priority of one's own",
        {"priority": 5},
        {},
        f"the integer value of priority (5) {WHY} 0 from the given PriorityClass name",
    ),
    (
        "a policy of one's own",
        {"preemptionPolicy": "Never"},
        {},
        f"the string value of PreemptionPolicy (Never) {WHY} PreemptLowerPriority from the given PriorityClass name",
    ),
    ("an unknown runtime class", {"runtimeClassName": "r"}, {}, 'pod rejected: RuntimeClass "r" not found'),
    (
        "overhead from nowhere",
        {"overhead": {"cpu": "1"}},
        {},
        "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
    ),
    (
        "a selector against the class's",
        {"runtimeClassName": "r", "nodeSelector": {"a": "c"}},
        {"runtime": {"scheduling": {"nodeSelector": {"a": "b"}}}},
        "conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c",
    ),
]


@pytest.mark.parametrize(("_", "spec", "found", "why"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_what_is_forbidden(_: str, spec: dict[str, Any], found: dict[str, Any], why: str) -> None:
    assert refusal(pod(**spec), **found) == why


def test_secrets_that_an_enforcing_account_does_not_list_are_forbidden() -> None:
    strict = {
        "metadata": {"name": "default", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "secrets": [{"name": "ok"}],
    }
    given = pod(volumes=[{"name": "v", "secret": {"secretName": "other"}}])
    assert refusal(given, accounts=[strict]) == (
        'volume with secret.secretName="other" is not allowed because '
        "service account default does not reference that secret"
    )
    admitted(pod(volumes=[{"name": "v", "secret": {"secretName": "ok"}}]), accounts=[strict])


def test_an_update_keeps_what_admission_decided() -> None:
    old = admit_pod(pod(), "ns", lookups())
    new = admit_pod_update(pod(), old)
    assert new["spec"]["priority"] == 0
    assert new["spec"]["tolerations"] == TOLERATIONS
