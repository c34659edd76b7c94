"""Variables, downward fields, names, security decisions, probes' thresholds, grace periods."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from podrun.api.pod import Probe
from podrun.lifecycle import downward, environment, naming, probes, security, termination
from podrun.lifecycle.actions import KillReason
from podrun.lifecycle.environment import ConfigError
from podrun.lifecycle.naming import Resolver
from podrun.lifecycle.observed import Verdict
from podrun.lifecycle.probes import Result, Role
from tests.lifecycle.build import pod

AROUND = downward.Surroundings(("10.0.0.2",), ("192.0.2.1",), {"cpu": "2", "memory": "1Gi"})


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "one"),
        ("x$(A)-$(B)y", "xone-twoy"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$one"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("$()", "$()"),
        ("a$$b", "a$b"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    assert environment.expand(text, {"A": "one", "B": "two"}) == expanded


OBJECTS: dict[tuple[str, str], Any] = {
    ("configmap", "c"): {"data": {"k": "v", "other": "w"}},
    ("secret", "s"): {"data": {"pw": base64.b64encode(b"hunter2").decode()}},
}


def variables(env: list[Any] | None = None, env_from: list[Any] | None = None, **more: Any) -> dict[str, str]:
    container = {"name": "a", "image": "i", "env": env or [], "envFrom": env_from or [], **more.pop("container", {})}
    made = pod(containers=[container], **more)
    return environment.environment(
        made,
        made.spec.containers[0],
        services=(),
        lookup=lambda kind, name: OBJECTS.get((kind, name)),
        read_file=lambda ref: "# c\nKEY='one\ntwo' # end\nEMPTY=''\n",
        around=AROUND,
    )


def test_variables_see_those_before_them_only() -> None:
    env = [{"name": "B", "value": "$(A)/$(LATER)"}, {"name": "LATER", "value": "x"}]
    assert variables([{"name": "A", "value": "one"}, *env]) == {"A": "one", "B": "one/$(LATER)", "LATER": "x"}


def test_sources_of_values() -> None:
    def ref(kind: str, **fields: Any) -> dict[str, Any]:
        return {"valueFrom": {kind: fields}}

    made = variables(
        [
            {"name": "CM", **ref("configMapKeyRef", name="c", key="k")},
            {"name": "SEC", **ref("secretKeyRef", name="s", key="pw")},
            {"name": "OPT", **ref("configMapKeyRef", name="none", key="k", optional=True)},
            {"name": "IP", **ref("fieldRef", fieldPath="status.podIP")},
            {"name": "LABEL", **ref("fieldRef", fieldPath="metadata.labels['tier']")},
            {"name": "MEM", **ref("resourceFieldRef", resource="limits.memory", divisor="1Mi")},
            {"name": "CPU", **ref("resourceFieldRef", resource="limits.cpu")},
            {"name": "FILE", **ref("fileKeyRef", volumeName="v", path="f", key="KEY")},
        ],
        [{"configMapRef": {"name": "c"}, "prefix": "P_"}, {"secretRef": {"name": "none", "optional": True}}],
        meta={"labels": {"tier": "x"}},
        container={"resources": {"limits": {"memory": "64Mi"}}},
    )
    assert made == {
        "P_k": "v",
        "P_other": "w",
        "CM": "v",
        "SEC": "hunter2",
        "IP": "10.0.0.2",
        "LABEL": "x",
        "MEM": "64",
        "CPU": "2",
        "FILE": "one\ntwo",
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "c", "key": "zzz"}}, "couldn't find key zzz in ConfigMap n/c"),
        ({"secretKeyRef": {"name": "s", "key": "zzz"}}, "couldn't find key zzz in Secret n/s"),
        (
            {"fileKeyRef": {"volumeName": "v", "path": "f", "key": "EMPTY"}},
            'environment variable key "EMPTY" not found in file "f"',
        ),
    ],
)
def test_what_is_missing_is_said(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        variables([{"name": "X", "valueFrom": source}])
    assert str(caught.value) == message


def test_service_variables() -> None:
    ports = [{"name": "web", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    service = {"metadata": {"name": "my-svc", "namespace": "n"}, "spec": {"clusterIP": "10.96.0.9", "ports": ports}}
    made = environment.service_variables([service])
    assert made["MY_SVC_SERVICE_HOST"] == "10.96.0.9"
    assert made["MY_SVC_SERVICE_PORT"] == "80"
    assert made["MY_SVC_SERVICE_PORT_DNS"] == "53"
    assert made["MY_SVC_PORT"] == "tcp://10.96.0.9:80"
    assert made["MY_SVC_PORT_53_UDP"] == "udp://10.96.0.9:53"
    headless = {**service, "spec": {"clusterIP": "None"}}
    assert environment.service_links(pod("a"), [service, headless]) == [service]
    assert environment.service_links(pod("a", enableServiceLinks=False), [service]) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [("A = 'x'", "format"), ("A=x", "single quotes"), ("A='x", "unclosed"), ("A='x' y", "unexpected")],
)
def test_a_line_that_is_no_variable(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        environment.env_file_value(text, "A")


def test_maps_are_quoted_as_go_does() -> None:
    assert downward.format_map({"b": 'x"y\n', "a": "ü"}) == 'a="ü"\nb="x\\"y\\n"'


def test_names() -> None:
    named = pod("a", hostname="h", subdomain="s")
    assert naming.host_name(named, "node") == naming.HostName("h", "s.n.svc.cluster.local")
    assert naming.host_name(pod("a", hostNetwork=True), "node").name == "node"
    assert naming.host_name(pod("a", hostnameOverride="o", hostname="h"), "node") == naming.HostName("o")
    assert naming.host_name(pod("a", meta={"name": "x" * 62 + "-yy"}), "node").name == "x" * 62
    full = pod("a", hostname="h", subdomain="s", setHostnameAsFQDN=True)
    assert naming.uts_name(full, naming.host_name(full, "node")) == "h.s.n.svc.cluster.local"


def test_resolvers() -> None:
    host = Resolver(("192.0.2.53",), ("example.com",), ())
    assert naming.resolver(pod("a"), host, ()) == host
    cluster = naming.resolver(pod("a"), host, ("10.96.0.10",))
    assert cluster.searches == ("n.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com")
    assert (cluster.nameservers, cluster.options) == (("10.96.0.10",), ("ndots:5",))
    config = {
        "nameservers": ["1.1.1.1"],
        "searches": ["x"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}],
    }
    own = naming.resolver(pod("a", dnsPolicy="None", dnsConfig=config), host, ("10.96.0.10",))
    assert own == Resolver(("1.1.1.1",), ("x",), ("ndots:2", "rotate"))
    assert naming.resolver(pod("a", hostNetwork=True), host, ("10.96.0.10",)) == host


NAMES = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
SEARCH = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "


@pytest.mark.parametrize(
    ("config", "applied", "texts"),
    [
        pytest.param({"nameservers": ["1", "2"]}, Resolver(("0", "1", "2")), [], id="three servers fit"),
        pytest.param(
            {"nameservers": ["1", "2", "3"]},
            Resolver(("0", "1", "2")),
            [NAMES + "0 1 2"],
            id="a fourth server is left out",
        ),
        pytest.param({"nameservers": ["0", "1"]}, Resolver(("0", "1")), [], id="what is said twice counts once"),
        pytest.param(
            {"searches": ["a", "b" * 254, "c"]},
            Resolver(("0",), ("a", "c")),
            [SEARCH + "a c"],
            id="a path of more than 253 characters is left out",
        ),
        pytest.param(
            {"searches": [f"s{number}" for number in range(33)]},
            Resolver(("0",), tuple(f"s{number}" for number in range(32))),
            [SEARCH + " ".join(f"s{number}" for number in range(32))],
            id="of 33 paths the last is left out",
        ),
        pytest.param(
            {"searches": [letter * 250 for letter in "abcdefghij"]},
            Resolver(("0",), tuple(letter * 250 for letter in "abcdefgh")),
            [SEARCH + " ".join(letter * 250 for letter in "abcdefgh")],
            id="the line ends before it has more than 2048 characters",
        ),
    ],
)
def test_a_resolver_within_limits(config: dict[str, Any], applied: Resolver, texts: list[str]) -> None:
    asking, host = pod("a", dnsPolicy="Default", dnsConfig=config), Resolver(("0",))
    assert naming.resolver(asking, host, ()) == applied
    assert naming.left_out(asking, host, ()) == texts


@pytest.mark.parametrize(
    ("context", "image_user", "problem"),
    [
        ({"runAsNonRoot": True}, "", "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True}, "0:0", "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True}, "app", "container has runAsNonRoot and image has non-numeric user (app)"),
        ({"runAsNonRoot": True}, "1000", None),
        ({"runAsNonRoot": True, "runAsUser": 0}, "1000", "container's runAsUser breaks non-root policy"),
        ({"runAsNonRoot": True, "runAsUser": 1}, "", None),
        ({}, "", None),
    ],
)
def test_run_as_non_root(context: dict[str, Any], image_user: str, problem: str | None) -> None:
    made = pod(containers=[{"name": "a", "image": "i", "securityContext": context}])
    found = security.non_root_problem(made, made.spec.containers[0], image_user)
    assert found is None if problem is None else (found or "").startswith(problem)


def play(role: Role, results: str, **fields: int) -> str:
    """A string of verdicts after each look: + passed, - failed, e error."""
    state, probe, made = probes.first(role, "c"), Probe(**fields), ""  # type: ignore[arg-type]
    for result in results:
        seen = Result(result == "+", error="broken" if result == "e" else "")
        state = state if state.held else probes.record(state, probe, seen)
        made += {Verdict.SUCCESS: "S", Verdict.FAILURE: "F", Verdict.UNKNOWN: "U"}[state.verdict]
    return made


@pytest.mark.parametrize(
    ("role", "results", "verdicts"),
    [
        (Role.READINESS, "+---+", "SSSFS"),
        (Role.READINESS, "--+--+", "FFSSSS"),
        (Role.LIVENESS, "--+---+", "SSSSSFF"),
        (Role.STARTUP, "--+---", "UUSSSS"),
        (Role.STARTUP, "---+", "UUFF"),
        (Role.LIVENESS, "--e-", "SSSF"),
    ],
)
def test_thresholds(role: Role, results: str, verdicts: str) -> None:
    assert play(role, results, failure_threshold=3) == verdicts


def test_success_threshold() -> None:
    assert play(Role.READINESS, "++-++", success_threshold=2, failure_threshold=1) == "FSFFS"


def test_when_a_look_is_due() -> None:
    probe = Probe(initial_delay_seconds=5)
    assert not probes.due(Role.LIVENESS, probe, started=True, running_for=4.9)
    assert probes.due(Role.LIVENESS, probe, started=True, running_for=5.0)
    assert not probes.due(Role.LIVENESS, probe, started=False, running_for=9)
    assert probes.due(Role.STARTUP, probe, started=False, running_for=9)
    assert not probes.due(Role.STARTUP, probe, started=True, running_for=9)


@pytest.mark.parametrize(
    ("deletion", "before", "override", "grace"),
    [
        (None, None, None, 30),
        (10, None, None, 10),
        (0, None, None, 1),
        (60, 30, None, 30),
        (5, 30, None, 5),
        (None, None, 0, 1),
        (30, None, 1, 1),
    ],
)
def test_the_grace_of_a_pod_only_shrinks(
    deletion: int | None, before: int | None, override: int | None, grace: int
) -> None:
    made = pod("a", meta={"deletionGracePeriodSeconds": deletion})
    assert termination.pod_grace(made, before, override) == grace


def test_a_failed_probe_brings_its_own_grace() -> None:
    probe = {"exec": {"command": ["x"]}, "terminationGracePeriodSeconds": 3}
    made = pod(containers=[{"name": "a", "image": "i", "livenessProbe": probe}])
    container = made.spec.containers[0]
    assert termination.container_grace(made, container, KillReason.LIVENESS_PROBE) == 3
    assert termination.container_grace(made, container, KillReason.STARTUP_PROBE) == 30


def test_what_prestop_used_is_taken_off_but_two_seconds_stay() -> None:
    left = termination.GraceLeft(5).spent(3.9)
    assert (left.seconds, left.for_stop) == (2, 2)
    assert left.spent(10).for_stop == 2
