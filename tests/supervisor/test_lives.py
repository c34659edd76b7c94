"""Lives of pods under the supervisor, as clients see them; virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from podrun.runtime.errors import ExecFailed
from tests.supervisor.conftest import House

pytestmark = [pytest.mark.looptime, pytest.mark.asyncio]


def one(**more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a"}], **more}


async def test_a_pod_runs_and_is_deleted(house: House) -> None:
    await house.create(one())
    await asyncio.sleep(0.1)
    assert house.pod["status"]["phase"] == "Running"
    assert house.states("a") == ["waiting ContainerCreating 0", "running 0"]
    assert [c["status"] for c in house.pod["status"]["conditions"]] == ["True"] * 5
    await house.delete(1)
    await asyncio.sleep(3)
    assert house.store.get("pods", "n", "p") is None
    assert house.phases() == ["Pending", "Running", "Failed"]
    assert house.runtime.sandbox_list == []
    assert house.supervisor.worker("n", "p") is None
    assert [reason for reason, _, _ in house.events()] == ["Pulled", "Created", "Started", "Killing"]


async def test_a_change_that_comes_while_volumes_are_refreshed_is_not_missed(house: House) -> None:
    await house.create(one())
    await asyncio.sleep(1)
    worker = house.supervisor.worker("n", "p")
    assert worker is not None
    house.volumes.refresh_takes = 1.0
    before = house.volumes.refreshed
    worker.refresh_volumes()
    await asyncio.sleep(0.5)
    worker.refresh_volumes()
    worker.refresh_volumes()
    await asyncio.sleep(3)
    assert house.volumes.refreshed == before + 2


async def test_containers_are_created_while_their_sandbox_is_made(house: House) -> None:
    house.runtime.sandbox_takes = 1.0
    await house.create({"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]})
    await asyncio.sleep(0.5)
    assert house.runtime.created == ["i"], "the first init container and no other"
    assert house.events() == [], "nothing is told before the sandbox is there"
    assert house.states("i") == ["waiting PodInitializing 0"]
    await asyncio.sleep(1)
    assert house.runtime.created == ["i"]
    assert house.runtime.done == [("start", "i")]
    assert [reason for reason, _, _ in house.events()] == ["Pulled", "Created", "Started"]


async def test_of_a_sandbox_that_cannot_be_made_nothing_is_left(house: House) -> None:
    house.runtime.sandbox_takes, house.runtime.sandbox_fails = 0.5, "no address is free"
    await house.create({"containers": [{"name": "a"}, {"name": "b"}]})
    await asyncio.sleep(1)
    assert house.runtime.created == ["a", "b"]
    assert house.runtime.container_list == []
    told = [(reason, message) for reason, message, _ in house.events()]
    assert told == [("FailedCreatePodSandBox", "Failed to create pod sandbox: no address is free")]
    house.runtime.sandbox_fails = ""
    await asyncio.sleep(11)
    assert house.pod["status"]["phase"] == "Running"
    assert house.pod["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_a_pod_deleted_while_its_sandbox_is_made_leaves_nothing(house: House) -> None:
    house.runtime.sandbox_takes = 1.0
    await house.create(one())
    await asyncio.sleep(0.5)
    await house.delete(30)
    await asyncio.sleep(2)
    assert house.store.get("pods", "n", "p") is None
    assert house.runtime.created == ["a"]
    assert house.runtime.done == []
    assert house.runtime.container_list == []
    assert house.runtime.sandbox_list == []


async def test_a_crash_loop_shows_each_end_and_backs_off(house: House) -> None:
    await house.create(one())
    await asyncio.sleep(1)
    house.runtime.exit("a", 1)
    await asyncio.sleep(1)
    house.runtime.exit("a", 1)
    await asyncio.sleep(5)
    assert house.states("a")[2:] == ["terminated Error 0", "running 1", "terminated Error 1"]
    await asyncio.sleep(6)
    assert house.states("a")[5:] == ["waiting CrashLoopBackOff 1", "running 2"]
    status = house.pod["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert ("BackOff", "Back-off restarting failed container a in pod p_n(u)", 1) in house.events()
    assert len(house.runtime.containers("u")) == 2, "one dead attempt is kept"


async def test_a_pod_that_never_restarts_succeeds(house: House) -> None:
    await house.create(one(restartPolicy="Never"))
    await asyncio.sleep(1)
    house.runtime.exit("a", 0)
    await asyncio.sleep(1)
    assert house.phases() == ["Pending", "Running", "Succeeded"]
    conditions = {c["type"]: (c["status"], c.get("reason")) for c in house.pod["status"]["conditions"]}
    assert conditions["Ready"] == ("False", "PodCompleted")
    assert conditions["PodReadyToStartContainers"] == ("False", None)
    assert house.pod["status"]["podIP"] == "10.244.0.2"


async def test_init_containers_run_in_order_and_sidecars_stay(house: House) -> None:
    init = [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]
    await house.create(one(initContainers=init, restartPolicy="Never"))
    await asyncio.sleep(1)
    assert house.runtime.done == [("start", "i")]
    assert house.pod["status"]["phase"] == "Pending"
    house.runtime.exit("i", 0)
    await asyncio.sleep(1)
    assert house.runtime.done[2:] == [("start", "s"), ("start", "a")]
    house.runtime.exit("s", 1)
    await asyncio.sleep(1)
    assert house.runtime.done[-1] == ("start", "s")
    house.runtime.exit("a", 0)
    await asyncio.sleep(1)
    assert house.pod["status"]["phase"] == "Succeeded"
    assert house.runtime.done[-2:] == [("stop", "s"), ("end", "s")]


async def test_a_failed_init_container_under_never_fails_the_pod(house: House) -> None:
    await house.create(one(initContainers=[{"name": "i"}], restartPolicy="Never"))
    await asyncio.sleep(1)
    house.runtime.exit("i", 4)
    await asyncio.sleep(1)
    assert house.phases() == ["Pending", "Failed"]
    assert house.states("a") == ["waiting PodInitializing 0"]


async def test_sidecars_stop_after_the_others_in_reverse(house: House) -> None:
    init = [{"name": "s1", "restartPolicy": "Always"}, {"name": "s2", "restartPolicy": "Always"}]
    await house.create(one(initContainers=init))
    await asyncio.sleep(1)
    await house.delete()
    await asyncio.sleep(1)
    stops = [name for what, name in house.runtime.done if what == "stop"]
    assert stops == ["a", "s2", "s1"]
    assert house.store.get("pods", "n", "p") is None


async def test_a_process_that_ignores_term_gets_its_whole_grace(house: House) -> None:
    house.runtime.ignores_term.add("a")
    await house.create(one())
    await asyncio.sleep(1)
    begin = asyncio.get_running_loop().time()
    await house.delete(30)
    await asyncio.sleep(29.9)
    assert house.pod["status"]["phase"] == "Running"
    await asyncio.sleep(0.2)
    assert house.store.get("pods", "n", "p") is None
    assert asyncio.get_running_loop().time() - begin < 31


async def test_a_second_delete_shortens_the_grace(house: House) -> None:
    house.runtime.ignores_term.add("a")
    await house.create(one())
    await asyncio.sleep(1)
    await house.delete(30)
    await asyncio.sleep(1)
    await house.delete(3)
    await asyncio.sleep(3.5)
    assert house.store.get("pods", "n", "p") is None


async def test_prestop_spends_from_the_grace_and_gets_two_seconds_more(house: House) -> None:
    house.runtime.ignores_term.add("a")
    house.runtime.execs[("sleep", "100")] = (0, b"")
    hook = {"preStop": {"exec": {"command": ["sleep", "100"]}}}
    await house.create({"containers": [{"name": "a", "lifecycle": hook}]})
    await asyncio.sleep(1)
    await house.delete(5)
    await asyncio.sleep(4.9)
    assert ("stop", "a") not in house.runtime.done
    await asyncio.sleep(0.2)
    assert ("stop", "a") in house.runtime.done
    await asyncio.sleep(2.1)
    assert house.store.get("pods", "n", "p") is None


async def test_a_missing_config_map_waits_and_recovers_when_it_appears(house: House) -> None:
    ref = {"configMapKeyRef": {"name": "c", "key": "k"}}
    await house.create({"containers": [{"name": "a", "env": [{"name": "X", "valueFrom": ref}]}]})
    await asyncio.sleep(1)
    waiting = house.pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'configmap "c" not found'}
    await house.store.create("configmaps", {"metadata": {"name": "c", "namespace": "n"}, "data": {"k": "v"}})
    await asyncio.sleep(0.1)
    assert house.pod["status"]["phase"] == "Running"
    assert dict(house.runtime.container_list[0].config.env)["X"] == "v"


async def test_a_pull_secret_that_is_not_there_is_told_of_and_does_not_stop_the_pod(house: House) -> None:
    await house.create({"containers": [{"name": "a"}], "imagePullSecrets": [{"name": "nope"}, {"name": ""}]})
    await asyncio.sleep(1)
    assert house.pod["status"]["phase"] == "Running"
    told = [message for reason, message, _ in house.events() if reason == "FailedToRetrieveImagePullSecret"]
    assert told == [
        "Unable to retrieve some image pull secrets (nope); attempting to pull the image may not succeed.",
    ]


async def test_an_image_that_cannot_be_pulled_backs_off(house: House) -> None:
    await house.create({"containers": [{"name": "a", "image": "nope:1"}]})
    await asyncio.sleep(1)
    assert house.states("a") == ["waiting ContainerCreating 0", "waiting ErrImagePull 0"]
    await asyncio.sleep(11)
    assert house.states("a")[2] == "waiting ImagePullBackOff 0"
    reasons = [reason for reason, _, _ in house.events()]
    assert reasons == ["Pulling", "Failed", "Failed", "BackOff", "Failed"]


async def test_a_time_scale_shortens_the_wait_before_the_next_try(house: House) -> None:
    await house.supervisor.stop()
    house.supervisor = house.make(time_scale=0.1)
    await house.supervisor.start()
    await house.create({"containers": [{"name": "a", "image": "nope:1"}]})
    await asyncio.sleep(1.5)
    assert house.states("a")[1:] == ["waiting ErrImagePull 0", "waiting ImagePullBackOff 0"]


async def test_a_delete_while_the_image_is_pulled_does_not_wait_for_it(house: House) -> None:
    house.images.pull_seconds = 600
    await house.create({"containers": [{"name": "a", "image": "slow:1"}]})
    await asyncio.sleep(5)
    await house.delete()
    await asyncio.sleep(1)
    assert house.store.get("pods", "n", "p") is None
    assert house.phases() == ["Pending", "Failed"]


async def test_a_deadline_ends_the_pod_and_holds_the_phase_until_it_has_ended(house: House) -> None:
    house.runtime.ignores_term.add("a")
    await house.create(one(activeDeadlineSeconds=3, terminationGracePeriodSeconds=1))
    await asyncio.sleep(4)
    status = house.pod["status"]
    assert status["phase"] == "Running"
    assert {c["type"]: c.get("reason") for c in status["conditions"]}["Ready"] == "PodFailed"
    await asyncio.sleep(2)
    status = house.pod["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


async def test_a_liveness_probe_restarts_the_container(house: House) -> None:
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 2}
    house.runtime.execs[("check",)] = (0, b"")
    await house.create({"containers": [{"name": "a", "livenessProbe": probe}]})
    await asyncio.sleep(5)
    assert house.states("a")[-1] == "running 0"
    house.runtime.execs[("check",)] = (1, b"no\n")
    await asyncio.sleep(3)
    assert house.states("a")[-1] == "running 1"
    assert ("Killing", "Container a failed liveness probe, will be restarted", 1) in house.events()
    assert ("Unhealthy", "Liveness probe failed: no\n") in [event[:2] for event in house.events()]


async def test_readiness_follows_its_probe(house: House) -> None:
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
    house.runtime.execs[("check",)] = (1, b"")
    await house.create({"containers": [{"name": "a", "readinessProbe": probe}]})
    await asyncio.sleep(2)
    assert house.pod["status"]["containerStatuses"][0]["ready"] is False
    house.runtime.execs[("check",)] = (0, b"")
    await asyncio.sleep(1.1)
    assert house.pod["status"]["containerStatuses"][0]["ready"] is True


async def test_a_startup_probe_gates_the_next_container(house: House) -> None:
    probe = {"exec": {"command": ["up"]}, "periodSeconds": 1, "failureThreshold": 30}
    house.runtime.execs[("up",)] = (1, b"")
    side = {"name": "s", "restartPolicy": "Always", "startupProbe": probe}
    await house.create(one(initContainers=[side]))
    await asyncio.sleep(3)
    assert house.runtime.done.count(("start", "a")) == 0
    house.runtime.execs[("up",)] = (0, b"")
    await asyncio.sleep(1.1)
    assert house.runtime.done.count(("start", "a")) == 1
    assert house.pod["status"]["phase"] == "Running"


async def test_a_poststart_that_fails_kills_the_container(house: House) -> None:
    house.runtime.execs[("bad",)] = (6, b"secret")
    container = {"name": "a", "lifecycle": {"postStart": {"exec": {"command": ["bad"]}}}}
    await house.create({"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 1})
    await asyncio.sleep(1)
    assert house.phases() == ["Pending", "Failed"]
    assert ("FailedPostStartHook", "PostStartHook failed", 1) in house.events()
    assert ("Killing", "FailedPostStartHook", 1) in house.events()


async def test_a_command_that_is_not_there_fails_the_start(house: House) -> None:
    house.runtime.fail["a"] = "no such file"
    await house.create(one(restartPolicy="Never"))
    await asyncio.sleep(1)
    assert house.states("a") == ["waiting ContainerCreating 0", "terminated StartError 0"]
    assert house.phases() == ["Pending", "Failed"]
    assert ("Failed", "Error: no such file", 1) in house.events()


async def test_a_changed_image_restarts_that_container_only(house: House) -> None:
    house.images.present.add("busybox:2")
    await house.create({"containers": [{"name": "a"}, {"name": "b"}]})
    await asyncio.sleep(1)

    def changed(obj: dict[str, Any]) -> dict[str, Any]:
        first, second = obj["spec"]["containers"]
        return {**obj, "spec": {**obj["spec"], "containers": [{**first, "image": "busybox:2"}, second]}}

    await house.store.modify("pods", "n", "p", changed)
    await asyncio.sleep(1)
    assert house.states("a")[-1] == "running 1"
    assert house.states("b")[-1] == "running 0"
    assert ("Killing", "Container a definition changed, will be restarted", 1) in house.events()


async def test_an_exit_code_restarts_the_whole_pod_in_place(house: House) -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    boss = {"name": "boss", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    await house.create(
        {"containers": [boss, {"name": "w"}], "initContainers": [{"name": "i"}], "restartPolicy": "Never"}
    )
    await asyncio.sleep(1)
    house.runtime.exit("i", 0)
    await asyncio.sleep(1)
    house.runtime.exit("boss", 42)
    await asyncio.sleep(1)
    assert house.states("w") == [
        "waiting PodInitializing 0",
        "running 0",
        "waiting RestartingAllContainers 1",
        "waiting PodInitializing 1",
    ]
    house.runtime.exit("i", 0)
    await asyncio.sleep(1)
    assert house.states("w")[-1] == "running 1"
    assert house.phases() == ["Pending", "Running", "Pending", "Running"]


async def test_what_runs_goes_on_when_podrund_is_restarted(house: House) -> None:
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 10}
    house.runtime.execs[("check",)] = (0, b"")
    await house.create({"containers": [{"name": "a", "readinessProbe": probe}]})
    await asyncio.sleep(1)
    assert house.pod["status"]["containerStatuses"][0]["ready"] is True
    before = house.pod["status"]
    await house.supervisor.stop()
    house.supervisor = house.make()
    await house.supervisor.start()
    await asyncio.sleep(1)
    assert house.runtime.done.count(("start", "a")) == 1
    assert house.pod["status"] == before


async def test_a_force_deleted_pod_is_ended_though_its_object_is_gone(house: House) -> None:
    await house.create(one())
    await asyncio.sleep(1)
    await house.delete(0)
    await house.store.remove("pods", "n", "p")
    await asyncio.sleep(3)
    assert house.runtime.containers("u") == []
    assert house.supervisor._workers == {}


async def test_a_finalizer_holds_a_pod_that_has_ended(house: House) -> None:
    await house.create(one(), finalizers=["example.com/x"])
    await asyncio.sleep(1)
    await house.delete(1)
    await asyncio.sleep(3)
    assert house.pod["metadata"]["deletionGracePeriodSeconds"] == 0
    assert house.pod["status"]["phase"] == "Failed"
    await house.store.modify("pods", "n", "p", lambda o: {**o, "metadata": {**o["metadata"], "finalizers": []}})
    await house.store.remove("pods", "n", "p")
    await asyncio.sleep(1)
    assert house.supervisor._workers == {}


async def test_a_pod_that_asks_for_too_much_is_rejected(house: House) -> None:
    await house.create({"containers": [{"name": "a", "resources": {"requests": {"cpu": "9"}}}]})
    await asyncio.sleep(1)
    status = house.pod["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "OutOfcpu")
    assert status["message"] == (
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 9000, used: 0, capacity: 2000"
    )
    assert house.runtime.sandbox_list == []


async def test_a_crash_in_one_worker_leaves_the_others_alone(house: House) -> None:
    await house.create(one())
    await asyncio.sleep(1)
    worker = house.supervisor.worker("n", "p")
    assert worker is not None
    original, calls = worker._sync.once, []

    async def broken(observed: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("a bug")
        return await original(observed)

    worker._sync.once = broken  # type: ignore[method-assign]
    house.runtime.exit("a", 1)
    await asyncio.sleep(5)
    assert house.states("a")[-1] == "running 1"


async def test_resources_change_in_place(house: House) -> None:
    small = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
    await house.create({"containers": [{"name": "a", "resources": small}]})
    await asyncio.sleep(1)

    def resized(obj: dict[str, Any]) -> dict[str, Any]:
        container = {
            **obj["spec"]["containers"][0],
            "resources": {"requests": {"cpu": "150m"}, "limits": {"cpu": "300m"}},
        }
        meta = {**obj["metadata"], "generation": 2}
        return {**obj, "metadata": meta, "spec": {**obj["spec"], "containers": [container]}}

    await house.store.modify("pods", "n", "p", resized)
    await asyncio.sleep(1)
    status = house.pod["status"]["containerStatuses"][0]
    assert status["resources"] == {"requests": {"cpu": "150m"}, "limits": {"cpu": "300m"}}
    assert status["restartCount"] == 0
    texts = {reason: text for reason, text, _ in house.events()}
    assert texts["ResizeCompleted"] == (
        'Pod resize completed: {"containers":[{"name":"a","resources":'
        '{"limits":{"cpu":"300m"},"requests":{"cpu":"150m"}}}],"generation":2}'
    )


async def test_a_resize_that_does_not_fit_waits_until_another_pod_has_ended(house: House) -> None:
    other = {"containers": [{"name": "b", "resources": {"requests": {"cpu": "1"}}}]}
    await house.create(other, uid="o", name="o")
    await house.create({"containers": [{"name": "a", "resources": {"requests": {"cpu": "500m"}}}]})
    await asyncio.sleep(1)

    def resized(obj: dict[str, Any]) -> dict[str, Any]:
        container = {**obj["spec"]["containers"][0], "resources": {"requests": {"cpu": "1500m"}}}
        meta = {**obj["metadata"], "generation": 2}
        return {**obj, "metadata": meta, "spec": {**obj["spec"], "containers": [container]}}

    await house.store.modify("pods", "n", "p", resized)
    await asyncio.sleep(1)
    pending = next(c for c in house.pod["status"]["conditions"] if c["type"] == "PodResizePending")
    assert (pending["reason"], pending["message"]) == (
        "Deferred",
        "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
    )
    assert house.pod["status"]["containerStatuses"][0]["resources"] == {"requests": {"cpu": "500m"}}
    await house.supervisor.stop()
    house.supervisor = house.make()
    await house.supervisor.start()
    await asyncio.sleep(1)
    assert house.pod["status"]["containerStatuses"][0]["resources"] == {"requests": {"cpu": "500m"}}
    assert "ResizeStarted" not in [reason for reason, _, _ in house.events()]
    ending = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 1}
    await house.store.modify("pods", "n", "o", lambda obj: {**obj, "metadata": {**obj["metadata"], **ending}})
    await asyncio.sleep(3)
    assert house.pod["status"]["containerStatuses"][0]["resources"] == {"requests": {"cpu": "1500m"}}
    assert "ResizeCompleted" in [reason for reason, _, _ in house.events()]


async def test_a_resize_asked_for_while_podrund_was_away_is_done_when_it_is_back(house: House) -> None:
    await house.create({"containers": [{"name": "a", "resources": {"requests": {"cpu": "500m"}}}]})
    await asyncio.sleep(1)
    await house.supervisor.stop()

    def resized(obj: dict[str, Any]) -> dict[str, Any]:
        container = {**obj["spec"]["containers"][0], "resources": {"requests": {"cpu": "700m"}}}
        meta = {**obj["metadata"], "generation": 2}
        return {**obj, "metadata": meta, "spec": {**obj["spec"], "containers": [container]}}

    await house.store.modify("pods", "n", "p", resized)
    house.supervisor = house.make()
    await house.supervisor.start()
    await asyncio.sleep(1)
    assert house.pod["status"]["containerStatuses"][0]["resources"] == {"requests": {"cpu": "700m"}}
    assert [reason for reason, _, _ in house.events()][-2:] == ["ResizeStarted", "ResizeCompleted"]


async def test_a_custom_condition_makes_a_gated_pod_ready(house: House) -> None:
    await house.create(one(readinessGates=[{"conditionType": "x/y"}]))
    await asyncio.sleep(1)

    def opened(obj: dict[str, Any]) -> dict[str, Any]:
        conditions = [*obj["status"]["conditions"], {"type": "x/y", "status": "True"}]
        return {**obj, "status": {**obj["status"], "conditions": conditions}}

    assert {c["type"]: c["status"] for c in house.pod["status"]["conditions"]}["Ready"] == "False"
    await house.store.modify("pods", "n", "p", opened)
    await asyncio.sleep(1)
    assert {c["type"]: c["status"] for c in house.pod["status"]["conditions"]}["Ready"] == "True"


async def test_a_pod_that_was_being_deleted_when_podrund_was_restarted_keeps_its_time(house: House) -> None:
    house.runtime.ignores_term.add("a")
    await house.create(one())
    await asyncio.sleep(1)
    ends = "1970-01-01T00:00:31Z"
    meta = {**house.pod["metadata"], "deletionTimestamp": ends, "deletionGracePeriodSeconds": 30}
    await house.store.modify("pods", "n", "p", lambda obj: {**obj, "metadata": meta})
    await asyncio.sleep(20)
    await house.supervisor.stop()
    house.supervisor = house.make()
    await house.supervisor.start()
    await asyncio.sleep(9)
    assert house.pod["status"]["phase"] == "Running"
    await asyncio.sleep(3)
    assert house.store.get("pods", "n", "p") is None


async def test_a_full_disk_delays_statuses_and_the_end_but_loses_neither(house: House) -> None:
    await house.create(one())
    await asyncio.sleep(1)
    house.store.full = True
    house.runtime.exit("a", 1)
    await asyncio.sleep(1)
    assert house.states("a")[-1] == "running 0"
    house.store.full = False
    await asyncio.sleep(6)
    assert house.states("a")[-1] == "running 1"
    house.store.full = True
    await house.delete(1)
    await asyncio.sleep(4)
    assert house.store.get("pods", "n", "p") is not None
    house.store.full = False
    await asyncio.sleep(6)
    assert house.store.get("pods", "n", "p") is None


async def test_the_pods_own_resources_change_in_place(house: House) -> None:
    await house.create(one(resources={"limits": {"memory": "64Mi"}}))
    await asyncio.sleep(1)

    def resized(obj: dict[str, Any]) -> dict[str, Any]:
        meta = {**obj["metadata"], "generation": 2}
        return {**obj, "metadata": meta, "spec": {**obj["spec"], "resources": {"limits": {"memory": "96Mi"}}}}

    await house.store.modify("pods", "n", "p", resized)
    await asyncio.sleep(1)
    assert ("resize", "a") in house.runtime.done, "a container without a limit has the pod's"
    assert house.pod["status"]["resources"]["limits"] == {"memory": "96Mi"}
    assert "ResizeCompleted" in [reason for reason, _, _ in house.events()]


async def test_a_terminal_phase_that_somebody_wrote_ends_the_pod(house: House) -> None:
    await house.create(one())
    await asyncio.sleep(1)
    told = {"phase": "Failed", "reason": "Mine", "message": "enough"}
    await house.store.modify("pods", "n", "p", lambda o: {**o, "status": {**o["status"], **told}})
    await asyncio.sleep(3)
    status = house.pod["status"]
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Mine", "enough")
    assert ("stop", "a") in house.runtime.done
    assert "terminated" in status["containerStatuses"][0]["state"]


async def test_why_a_container_waits_is_still_told_when_podrund_is_restarted(house: House) -> None:
    await house.create({"containers": [{"name": "a", "image": "nope"}]})
    await asyncio.sleep(1)
    before = house.states("a")
    await house.supervisor.stop()
    house.supervisor = house.make()
    await house.supervisor.start()
    await asyncio.sleep(5)
    assert "waiting ContainerCreating 0" not in house.states("a")[len(before) :]


async def test_a_probe_of_a_container_that_has_just_ended_is_not_told_of(house: House) -> None:
    probe = {"exec": {"command": ["no-such"]}, "periodSeconds": 1}
    await house.create({"containers": [{"name": "a", "readinessProbe": probe}], "restartPolicy": "Never"})

    async def exec_sync(container_id: str, argv: Sequence[str], seconds: float | None) -> tuple[int, bytes]:
        if house.runtime.container_list[0].state == "running":
            house.runtime.exit("a", 0)
        raise ExecFailed("its first process has ended")

    house.runtime.exec_sync = exec_sync  # type: ignore[method-assign]
    await asyncio.sleep(5)
    assert house.pod["status"]["phase"] == "Succeeded"
    assert [message for reason, message, _ in house.events() if reason == "Unhealthy"] == []
