"""Knobs on pods that live: what each does to real processes, and what each refuses, in which words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import Any

import pytest

from podrun.cli.errors import MACHINE_LACKS
from podrun.openbox import netem
from podrun.openbox.breaking import FILLER
from tests.harness import BIN, Podrun, wait_until

LOOP = "trap exit TERM; while true; do echo tick; sleep 0.1; done"
IDLE = "trap exit TERM; sleep 1000 & wait"


def _pod(name: str, command: str, spec: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    made = {"name": "app", "image": "busybox:1.36", "command": ["sh", "-c", command], **container}
    whole = {"terminationGracePeriodSeconds": 0, "containers": [made], **(spec or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole}


def _begin(podrun: Podrun, *pods: dict[str, Any]) -> None:
    podrun.apply(*pods)
    for pod in pods:
        podrun.kubectl("wait", "--for=condition=Ready", f"pod/{pod['metadata']['name']}", "--timeout=20s")


def _opened(podrun: Podrun, name: str) -> dict[str, Any]:
    opened = json.loads(podrun.podrun("anatomy", name, "-o", "json"))
    return {container["name"]: container for container in opened["containers"]}


def _refused(podrun: Podrun, *words: str) -> str:
    done = podrun.run("podrun", *words, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("podrun: ")
    return done.stderr.removeprefix("podrun: ").strip()


def _restarts(podrun: Podrun, name: str) -> int:
    return int(podrun.get("pod", name)["status"]["containerStatuses"][0]["restartCount"])


class TestFreeze:
    def test_stops_every_process_until_thaw(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("still", LOOP))
        said = podrun.podrun("freeze", "still")
        assert said == "container app is frozen: no process of it runs until `podrun thaw`\n"
        wait_until(lambda: _opened(podrun, "still")["app"]["frozen"], 5, "it is not frozen")
        before = podrun.kubectl("logs", "still")
        subprocess.run(["sleep", "0.5"], check=True)
        assert podrun.kubectl("logs", "still") == before
        assert podrun.podrun("thaw", "still", "-c", "app") == "container app goes on\n"
        wait_until(lambda: podrun.kubectl("logs", "still") != before, 5, "it does not go on")

    def test_refuses_a_container_that_is_not_there(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("still", LOOP))
        assert _refused(podrun, "freeze", "still", "-c", "no") == "there is no container no in the pod; it has app"
        assert _refused(podrun, "freeze", "nobody").startswith("there is no pod nobody in default")


class TestRestart:
    def test_begins_a_new_attempt_at_once_whatever_the_policy(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("again", IDLE, {"restartPolicy": "Never"}))
        assert podrun.podrun("restart", "again") == "container app is restarted\n"
        wait_until(lambda: _restarts(podrun, "again") == 1, 10, "it is not restarted")
        podrun.kubectl("wait", "--for=condition=Ready", "pod/again", "--timeout=10s")
        assert podrun.get("pod", "again")["status"]["phase"] == "Running"
        events = podrun.kubectl("get", "events", "-o", "jsonpath={.items[*].message}")
        assert "Container app was asked to restart, will be restarted" in events

    def test_a_pod_that_has_ended_stays_so(self, podrun: Podrun) -> None:
        podrun.apply(_pod("over", "true", {"restartPolicy": "Never"}))
        wait_until(lambda: podrun.get("pod", "over")["status"]["phase"] == "Succeeded", 10, "it does not end")
        assert _refused(podrun, "restart", "over").startswith("pod over: ")


class TestRetry:
    def test_ends_a_back_off(self, podrun: Podrun) -> None:
        podrun.apply(_pod("loop", "exit 1"))
        wait_until(lambda: "back-off is 10s" in podrun.podrun("explain-status", "loop"), 10, "no back-off")
        before = _restarts(podrun, "loop")
        assert podrun.podrun("retry", "loop") == "container app: tried again now\n"
        wait_until(lambda: _restarts(podrun, "loop") == before + 1, 5, "it is not tried again")

    def test_says_where_nothing_waits(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("fine", IDLE))
        assert _refused(podrun, "retry", "fine") == "pod fine: nothing of it waits"


class TestBreak:
    def test_pause_takes_the_sandbox_with_it(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("headless", IDLE))
        before = _opened(podrun, "headless")["pause"]["processes"][0]["pid"]
        assert f"pause (process {before}) is killed" in podrun.podrun("break", "headless", "pause")

        def renewed() -> bool:
            found = _opened(podrun, "headless")
            return "pause" in found and found["pause"]["processes"][0]["pid"] != before and "app" in found

        wait_until(renewed, 15, "no new sandbox")

    def test_address_and_link_cut_the_pod_off_and_leave_its_localhost(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("cut", "httpd -f -p 8080 -h /etc"), _pod("down", IDLE))
        address = podrun.get("pod", "cut")["status"]["podIP"]
        podrun.run("curl", "-s", "--max-time", "5", f"http://{address}:8080/hostname")
        assert f"{address} is taken off eth0" in podrun.podrun("break", "cut", "address")
        assert podrun.run("curl", "-s", "--max-time", "1", f"http://{address}:8080/", check=False).returncode != 0
        assert podrun.kubectl("exec", "cut", "--", "wget", "-qO-", "http://localhost:8080/hostname") == "cut\n"
        assert podrun.podrun("break", "down", "link").startswith("eth0 is down")
        assert "DOWN" in podrun.podrun("enter", "down", "--ns", "net", "--", "ip", "-brief", "link", "show", "eth0")

    def test_dns_is_gone(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("nameless", IDLE))
        podrun.podrun("break", "nameless", "dns")
        assert podrun.kubectl("exec", "nameless", "--", "cat", "/etc/resolv.conf") == ""

    def test_a_volume_is_filled_and_no_link_in_it_is_followed(self, podrun: Podrun) -> None:
        volumes = {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}}]}
        target = podrun.root / "must-not-be-there"
        command = f"ln -s {target} /v/{FILLER}; {IDLE}"
        _begin(podrun, _pod("full", command, volumes, volumeMounts=[{"name": "v", "mountPath": "/v"}]))
        assert podrun.podrun("break", "full", "volume").startswith("volume v is full: 2097152 bytes in ")
        assert not target.exists()
        written = podrun.run("kubectl", "exec", "full", "--", "sh", "-c", "echo x > /v/more", check=False)
        assert "No space left on device" in written.stderr
        assert _refused(podrun, "break", "full", "volume", "w") == "say which emptyDir volume is to be filled: v"

    def test_the_machines_own_network_is_left_alone(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("guest", IDLE, {"hostNetwork": True}))
        for words in (("break", "guest", "address"), ("break", "guest", "dns"), ("netem", "guest", "--rate", "1mbit")):
            assert _refused(podrun, *words) == "pod guest: it is on the machine's own network, which is left alone"


class TestNetem:
    def test_slows_down_what_the_pod_sends(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("slow", IDLE))
        assert podrun.podrun("netem", "slow", "--rate", "1mbit") == "what the pod sends: rate 1 Mbit/s\n"
        show = ("enter", "slow", "--ns", "net", "--", "tc", "qdisc", "show", "dev", "eth0")
        assert "tbf" in podrun.podrun(*show)
        assert "rate 1Mbit" in podrun.podrun(*show)
        assert podrun.podrun("netem", "slow", "--clear") == "what the pod sends: as it was\n"
        assert "tbf" not in podrun.podrun(*show)

    def test_delays_or_says_what_the_kernel_lacks(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("late", IDLE))
        done = podrun.run("podrun", "netem", "late", "--delay", "10ms", "--loss", "1%", check=False)
        if done.returncode == 0:
            assert "netem" in podrun.podrun("enter", "late", "--ns", "net", "--", "tc", "qdisc", "show", "dev", "eth0")
        else:
            assert "this machine's kernel has no netem" in done.stderr

    @pytest.mark.parametrize(
        ("words", "made"),
        [
            ({"delay": "100ms", "jitter": "500us"}, netem.Weather(delay_us=100_000, jitter_us=500)),
            ({"loss": "2.5%", "rate": "10mbit"}, netem.Weather(loss_percent=2.5, rate_bits=10_000_000)),
            ({"delay": "1.5s"}, netem.Weather(delay_us=1_500_000)),
        ],
    )
    def test_words(self, words: dict[str, str], made: netem.Weather) -> None:
        assert netem.weather(**words) == made

    @pytest.mark.parametrize("words", [{"delay": "fast"}, {"loss": "101%"}, {"jitter": "1ms"}, {"rate": "1 furlong"}])
    def test_words_that_make_no_sense(self, words: dict[str, str]) -> None:
        with pytest.raises(ValueError, match=r"is no|is not|needs"):
            netem.weather(**words)

    def test_the_command_wants_one_thing_or_the_other(self, podrun: Podrun) -> None:
        assert _refused(podrun, "netem", "x", "--clear", "--rate", "1mbit").startswith("say either --clear, or what")


class TestEnter:
    def test_joins_what_is_asked_for_and_nothing_else(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("open", IDLE))
        spaces = _opened(podrun, "open")["app"]["namespaces"]

        def inside(kinds: str) -> dict[str, int]:
            words = ("enter", "open", "-c", "app", "--ns", kinds, "--", "sh", "-c", "readlink /proc/self/ns/*")
            found = podrun.podrun(*words).split()
            return {kind: int(number.rstrip("]")) for kind, _, number in (each.partition(":[") for each in found)}

        made = inside("net,uts")
        shared = {kind for kind, number in spaces.items() if made.get(kind) == number}
        assert shared == {"net", "uts", "user"}
        assert podrun.podrun("enter", "open", "-c", "app", "--ns", "mnt", "--", "/bin/busybox", "ls", "/etc/hostname")

    def test_refuses_what_is_no_namespace(self, podrun: Podrun) -> None:
        assert _refused(podrun, "enter", "x", "--ns", "nets").startswith("nets is no kind of namespace")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_trace_shows_the_calls_of_a_container(podrun: Podrun) -> None:
    _begin(podrun, _pod("traced", LOOP))
    command = podrun.inside("podrun", "trace", "traced", "--", "-e", "trace=write")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=podrun.environment()) as process:
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if "write(1" in line)
        finally:
            os.kill(process.pid, signal.SIGINT)
    assert '"tick\\n"' in line


def test_paths_of_the_open_box_are_for_administrators_and_in_no_document(podrun: Podrun) -> None:
    _begin(podrun, _pod("seen", IDLE, {"automountServiceAccountToken": True}))
    token = podrun.kubectl("create", "token", "default").strip()
    url = "https://127.0.0.1:6443/podrun/v1/namespaces/default/pods/seen/timeline"
    for options in ((), ("-H", f"Authorization: Bearer {token}")):
        code = podrun.run("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", *options, url).stdout
        assert code in ("401", "403")
    assert "podrun/v1" not in podrun.kubectl("get", "--raw", "/openapi/v3")
    svg = podrun.kubectl("get", "--raw", "/podrun/v1/namespaces/default/pods/seen/anatomy.svg")
    assert svg.startswith("<svg")


class TestLookingOn:
    def test_watch_draws_again_in_place_and_leaves_the_terminal_as_it_was(self, podrun: Podrun) -> None:
        _begin(podrun, _pod("moving", IDLE))
        pictures = podrun.run("timeout", "-s", "INT", "2", "podrun", "anatomy", "moving", "--watch", check=False).stdout
        assert pictures.count('Pod "moving" in default') == 2
        shown = podrun.type_into("timeout -s INT 2 podrun anatomy moving --watch", [])
        assert shown.startswith("\x1b[?1049h")
        assert shown.count("\x1b[H") == 2
        assert shown.rstrip().endswith("\x1b[?1049l")

    def test_diff_and_picture(self, podrun: Podrun) -> None:
        second = {"name": "second", "image": "busybox:1.36", "command": ["sh", "-c", IDLE]}
        pod = _pod("two", IDLE)
        pod["spec"]["containers"].append(second)
        _begin(podrun, pod)
        said = podrun.podrun("anatomy", "--diff", "two/app", "two/second")
        assert said.index("net namespace") < said.index("not shared:") < said.index("pid namespace")
        assert podrun.podrun("anatomy", "two", "-o", "svg").startswith("<svg")
        assert _refused(podrun, "anatomy", "--diff", "two/app", "two/third").startswith(
            "pod two has no container third"
        )
        assert _refused(podrun, "anatomy").startswith("say either which POD is to be opened, or --diff A B")


def test_without_strace_trace_says_how_to_get_it(podrun: Podrun) -> None:
    _begin(podrun, _pod("untraced", IDLE))
    done = podrun.run("env", f"PATH={BIN}", BIN / "podrun", "trace", "untraced", check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (MACHINE_LACKS, "podrun: strace is not installed")
    assert "apt-get install strace" in done.stderr
