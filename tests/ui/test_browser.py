"""The page in a real Chromium, by clicking and typing."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.harness import PROJECT, Podrun, wait_until
from tests.ui.browsing import link

ORIGIN = "https://127.0.0.1:6443"


def _pod(name: str, *containers: dict[str, Any], **rest: Any) -> dict[str, Any]:
    everyone = [{"image": "busybox:1.36", "imagePullPolicy": "IfNotPresent", **one} for one in containers]
    metadata = {"name": name, **rest.pop("metadata", {})}
    spec = {"containers": everyone, "terminationGracePeriodSeconds": 0, **rest}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _sh(name: str, script: str, **rest: Any) -> dict[str, Any]:
    return {"name": name, "command": ["sh", "-c", script], **rest}


SLEEPS = "trap 'exit 0' TERM; sleep 86400 & wait"
WEB = _sh("web", "mkdir -p /www; echo hi > /www/index.html; httpd -p 8080 -h /www; " + SLEEPS)


def _ready(podrun: Podrun, *pods: dict[str, Any]) -> None:
    podrun.apply(*pods)
    for pod in pods:
        podrun.kubectl("wait", "--for=condition=Ready", "--timeout=30s", f"pod/{pod['metadata']['name']}")


class TestEntering:
    def test_a_link_opens_the_page_once_and_leaves_no_trace(self, visit, podrun):
        url = link(podrun)
        visitor = visit(url=url)
        visitor.sees("No pods yet")
        assert "token" not in visitor.page.url
        assert visitor.context.cookies() == []
        assert url.partition("token=")[2] not in podrun.log()
        late = visit(url=url)
        late.sees("sudo podrun ui", ".empty")

    def test_without_a_link_it_says_how_to_get_one(self, visit):
        visitor = visit(url=f"{ORIGIN}/ui/")
        visitor.sees("sudo podrun ui", ".empty")

    def test_a_reload_stays_in_and_lets_another_tab_in(self, visit):
        visitor = visit()
        visitor.page.reload()
        visitor.sees("No pods yet")
        other = visitor.tab()
        other.goto(f"{ORIGIN}/ui/")
        other.get_by_text("No pods yet").wait_for()

    def test_a_session_is_good_in_its_own_origin_only(self, podrun):
        link_token = link(podrun).partition("token=")[2]
        session = json.loads(_curl(podrun, "/podrun/v1/ui/sessions", link_token, "-X", "POST"))["token"]
        assert json.loads(_curl(podrun, "/api/v1/pods", session))["kind"] == "PodList"
        assert json.loads(_curl(podrun, "/api/v1/pods", session, "-H", f"Origin: {ORIGIN}"))["kind"] == "PodList"
        foreign = ["-H", "Origin: https://evil.example"]
        encoded = base64.urlsafe_b64encode(session.encode()).decode().rstrip("=")
        protocols = f"Sec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{encoded}"
        upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"]
        upgrade += ["-H", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "-H", protocols]
        path = "/api/v1/namespaces/default/pods/web/exec?command=sh&stdout=true"
        for answer in (_curl(podrun, "/api/v1/pods", session, *foreign), _curl(podrun, path, "", *upgrade, *foreign)):
            assert json.loads(answer)["code"] == 403
            assert "evil.example" in answer
        assert json.loads(_curl(podrun, path, "", *upgrade))["code"] == 404  # let in: there is no such pod


class TestTheList:
    def test_pods_come_change_and_go(self, visit, podrun):
        visitor = visit()
        visitor.sees("No pods yet")
        podrun.apply(_pod("first", _sh("app", SLEEPS)), _pod("job", _sh("app", "exit 0"), restartPolicy="Never"))
        visitor.sees("1/1 ready", ".pods li:has-text('first')")
        visitor.sees("Completed", ".pods li:has-text('job')")
        podrun.kubectl("delete", "pod", "job")
        visitor.loses(".pods li:has-text('job')")

    def test_by_keyboard_alone(self, visit, podrun):
        _ready(podrun, _pod("alpha", _sh("app", SLEEPS)), _pod("beta", _sh("app", SLEEPS)))
        visitor = visit()
        visitor.sees("beta", ".pods")
        visitor.press("?")
        visitor.sees("these keys", "dialog")
        visitor.press("Escape")
        visitor.loses("dialog")
        visitor.press("/")
        visitor.page.keyboard.type("bet")
        visitor.loses(".pods li:has-text('alpha')")
        visitor.page.keyboard.type("zzz")
        visitor.sees("Nothing matches", ".empty")
        visitor.press("Escape")
        visitor.sees("alpha", ".pods")
        visitor.press("ArrowDown", "ArrowDown")
        assert "beta" in visitor.focused()
        outline = visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        visitor.press("Enter")
        visitor.sees("one address", ".facts")
        visitor.press("5")
        visitor.sees("Started", ".events")
        visitor.page.focus("#tab-events")
        visitor.press("ArrowRight")
        visitor.sees("kind: Pod", ".yaml")
        visitor.press("Escape")
        visitor.sees("alpha", ".pods")


class TestTheDrawing:
    def test_it_moves_when_the_kernel_does(self, visit, podrun):
        _ready(podrun, _pod("web", WEB, _sh("side", SLEEPS)))
        visitor = visit("default/web")
        visitor.sees(":8080", ".rail.net .port")
        visitor.sees("httpd", "[data-room=web] .tree")
        _run(podrun, "web", "side", "sleep 4242 >/dev/null 2>&1 & echo $! >/tmp/pid")
        visitor.sees("sleep 4242", "[data-room=side] .tree")
        visitor.sees("sleep 4242", ".news")
        _run(podrun, "web", "side", "kill $(cat /tmp/pid)")
        visitor.loses("[data-room=side] .tree li:has-text('sleep 4242')")

    def test_who_shares_what_is_the_kernels_own_word(self, visit, podrun):
        _ready(podrun, _pod("web", WEB, _sh("side", SLEEPS)))
        shown = podrun.podrun("anatomy", "web", "-o", "json")
        visitor = visit("default/web")
        visitor.sees("pause", ".matrix")
        rows = json.loads(shown)["namespaces"]
        [network] = [row["inode"] for row in rows if row["type"] == "net"]
        assert visitor.page.inner_text(".rail.net .inode") == f"net:[{network}]"
        cells = visitor.page.locator(".matrix td.shared", has_text=str(network))
        assert cells.get_attribute("colspan") == "3"  # pause, web, side
        knots = visitor.page.locator(".wires .knot")
        wait_until(lambda: knots.count() == 6, 5.0, "not two rooms in three rails")

    def test_a_restart_is_seen(self, visit, podrun):
        _ready(podrun, _pod("web", _sh("app", SLEEPS)))
        visitor = visit("default/web")
        visitor.sees("sleep", "[data-room=app] .tree")
        address = visitor.page.inner_text(".roof b")
        visitor.button("Break…")
        visitor.page.select_option("dialog select", "container")
        visitor.button("Break it", "dialog")
        visitor.sees("1×", "[data-room=app] .again")
        assert visitor.page.inner_text(".roof b") == address

    def test_a_pod_that_is_not_there_is_said(self, visit):
        visitor = visit("default/nobody")
        visitor.sees("There is no pod of this name", ".notice")


class TestActing:
    def test_freeze_and_thaw(self, visit, podrun):
        _ready(podrun, _pod("web", _sh("app", SLEEPS)))
        visitor = visit("default/web")
        visitor.sees("Running", "[data-room=app]")
        visitor.button("Freeze", "[data-room=app]")
        visitor.sees("Frozen", "[data-room=app] .state")
        visitor.button("Thaw", "[data-room=app]")
        visitor.sees("Running", "[data-room=app] .state")

    def test_restart_asks_first(self, visit, podrun):
        _ready(podrun, _pod("web", _sh("app", SLEEPS)))
        visitor = visit("default/web")
        visitor.sees("Running", "[data-room=app]")
        visitor.button("Restart…", "[data-room=app]")
        visitor.button("Cancel", "dialog")
        visitor.loses("dialog")
        visitor.button("Restart…", "[data-room=app]")
        visitor.button("Restart", "dialog")
        visitor.sees("1×", "[data-room=app] .again")

    def test_delete_asks_first_and_the_page_says_that_it_is_gone(self, visit, podrun):
        _ready(podrun, _pod("web", _sh("app", SLEEPS)))
        visitor = visit("default/web")
        visitor.sees("Running", "[data-room=app]")
        visitor.button("Delete…")
        visitor.press("Escape")
        assert podrun.get("pod", "web")["metadata"].get("deletionTimestamp") is None
        visitor.button("Delete…")
        visitor.button("Delete", "dialog")
        visitor.sees("This pod is gone", ".notice")

    def test_the_network_is_held_up_and_let_go(self, visit, podrun):
        _ready(podrun, _pod("web", _sh("app", SLEEPS)))
        visitor = visit("default/web")
        visitor.sees("Running", "[data-room=app]")
        for choice, rule in (("2", True), ("3", False)):  # narrow, which every kernel can; as it was
            visitor.button("Network…")
            visitor.page.select_option("dialog select", choice)
            visitor.button("Apply", "dialog")
            wait_until(partial(_is_narrow, podrun, rule), 10.0, "the network is as it was")

    def test_what_is_refused_is_told(self, visit, podrun):
        _ready(podrun, _pod("web", _sh("app", SLEEPS)))
        visitor = visit("default/web")
        visitor.sees("Running", "[data-room=app]")
        visitor.button("Retry now")
        visitor.sees("", ".toast.bad")


class TestTheOtherViews:
    def test_logs_follow_and_filter(self, visit, podrun):
        script = "for i in 0 1 2; do echo line $i; done; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo went on"
        _ready(podrun, _pod("talk", _sh("app", f"{script}; {SLEEPS}"), _sh("side", f"echo beside; {SLEEPS}")))
        visitor = visit("default/talk/logs")
        visitor.sees("line 2", ".lines")
        visitor.sees("beside", ".lines")
        _run(podrun, "talk", "app", "touch /tmp/go")
        visitor.sees("went on", ".lines")
        visitor.button("side")
        assert visitor.page.locator(".lines li:visible").all_inner_texts() == [
            *(f"appline {number}" for number in range(3)),
            "appwent on",
        ]
        visitor.page.fill("input[type=search]", "line 1")
        assert visitor.page.locator(".lines li:visible").all_inner_texts() == ["appline 1"]

    def test_a_terminal_is_typed_into_and_grows_with_the_window(self, visit, podrun):
        _ready(podrun, _pod("web", WEB))
        visitor = visit("default/web/terminal")
        visitor.sees("connected to web", ".bar-of-tools")
        visitor.page.keyboard.type("echo it is $((6 * 7)); stty size\n")
        visitor.sees("it is 42", ".xterm-rows")
        before = _size(visitor)
        visitor.page.set_viewport_size({"width": 900, "height": 900})
        visitor.page.keyboard.type("clear; printf '\\033[38;2;255;0;0mred\\033[0m '; stty size\n")
        wait_until(lambda: visitor.page.evaluate(_RED), 10.0, "no red word")
        assert _size(visitor) < before
        visitor.press("Control+]")
        assert visitor.focused() == "Terminal"
        visitor.page.focus(".xterm-helper-textarea")
        visitor.page.keyboard.type("exit 3\n")
        visitor.sees("exit code 3", ".bar-of-tools")
        visitor.button("Open again")
        visitor.sees("connected to web", ".bar-of-tools")

    def test_an_image_without_a_shell_gets_a_debug_container(self, visit, podrun):
        podrun.podrun("play", PROJECT / "examples/bookstore/raw-manifests/02-catalog-pod-sidecar.yaml")
        visitor = visit("default/catalog/terminal")
        visitor.sees("catalog has no shell", ".bar-of-tools")
        visitor.button("Open a debug container")
        visitor.sees("connected to debug-", ".bar-of-tools")
        visitor.page.keyboard.type("wget -qO- localhost:8080/healthz\n")
        visitor.sees('"status":"ok"', ".xterm-rows")

    def test_the_timeline_has_the_steps(self, visit, podrun):
        _ready(podrun, _pod("web", WEB))
        visitor = visit("default/web/timeline")
        visitor.sees("ready", ".milestone")
        visitor.sees("unshare", ".steps")
        assert visitor.page.locator(".step").count() > 20
        visitor.page.focus(".chart")
        visitor.press("+")
        assert visitor.page.locator("[data-preset][aria-pressed=true]").count() == 0
        visitor.button("Everything")

    def test_events_and_yaml(self, visit, podrun):
        _ready(podrun, _pod("web", WEB, metadata={"annotations": {"a": "one", "b": "two"}}))
        visitor = visit("default/web/events")
        visitor.sees("Scheduled", ".events")
        visitor.go("default/web/yaml")
        visitor.sees("kind: Pod", ".yaml")
        assert "managedFields" not in visitor.page.inner_text(".yaml")
        visitor.button("Managed fields")
        visitor.sees("managedFields", ".yaml")


HOSTILE = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"


def test_hostile_pods_are_only_text(visit, podrun):
    escapes = r"\033]0;owned\007\033]52;c;b3duZWQ=\007\033]8;;https://evil.example\007link\033]8;;\007\033[2J\033[31mred\033[0m\r\342\200\256txt"
    script = f'printf \'%b\\n\' "{escapes}"; echo "$TEXT"; sleep 86400 & wait'
    container = _sh("app", script, env=[{"name": "TEXT", "value": HOSTILE}])
    container["command"].append(HOSTILE)
    _ready(podrun, _pod("hostile", container, metadata={"annotations": {"evil": HOSTILE}}))
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "evil"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "hostile"},
        "reason": HOSTILE[:100],
        "message": HOSTILE,
        "type": "Warning",
    }
    podrun.kubectl("create", "-f", "-", input=json.dumps(event))
    visitor = visit("default/hostile")
    visitor.sees("onerror", "[data-room=app] .tree")
    for tab in ("events", "yaml", "logs"):
        visitor.go(f"default/hostile/{tab}")
        visitor.sees("onerror", ".panel")
    line = visitor.page.locator(".lines li").first.inner_text()
    assert line == "linkred␍⟨U+202E⟩txt"
    assert visitor.page.locator("img, iframe, object, .panel script, .panel a").count() == 0
    assert visitor.page.title() == "hostile · podrun"


def test_podrund_is_killed_and_the_page_goes_on(visit, podrun):
    script = "echo before; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo after"
    _ready(podrun, _pod("web", WEB, _sh("talk", f"{script}; {SLEEPS}")))
    visitor = visit("default/web")
    visitor.sees("httpd", "[data-room=web] .tree")
    logs = visitor.tab()
    logs.goto(f"{ORIGIN}/ui/#/default/web/logs")
    logs.get_by_text("before").wait_for()
    podrun.crash()
    visitor.sees("podrund is back", ".toast")
    _run(podrun, "web", "web", "sleep 4243 >/dev/null 2>&1 &")
    visitor.sees("sleep 4243", "[data-room=web] .tree")
    assert visitor.page.inner_text("[data-room=web] .again") == ""
    _run(podrun, "web", "talk", "touch /tmp/go")
    logs.get_by_text("after").wait_for()
    assert logs.locator(".lines li").all_inner_texts() == ["talkbefore", "talkafter"]


VIEWS = ("", "default/web", *(f"default/web/{tab}" for tab in ("timeline", "logs", "terminal", "events", "yaml")))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_wide_and_narrow_by_eye_and_by_ear(visit, podrun, scheme):
    _ready(podrun, _pod("web", WEB, _sh("side", SLEEPS)))
    visitor = visit(color_scheme=scheme)
    for width in (1280, 390):
        visitor.page.set_viewport_size({"width": width, "height": 844})
        for view in VIEWS:
            visitor.go(view)
            visitor.page.wait_for_selector(".panel > *, .pods li")
            assert visitor.page.evaluate(_WIDER) == [], (width, view)
            assert visitor.page.evaluate(_NAMELESS) == [], (width, view)
            assert visitor.page.evaluate(_FAINT) == [], (width, view)


_WIDER = "document.documentElement.scrollWidth > innerWidth ? [document.documentElement.scrollWidth] : []"
_NAMELESS = """[...document.querySelectorAll("button, a[href], input, select, [role]:not([role=presentation])")]
  .filter((one) => one.checkVisibility() && !one.closest(".xterm"))
  .filter((one) => !["status", "group", "log"].includes(one.getAttribute("role")) || one.hasAttribute("aria-label"))
  .filter((one) => !(one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || one.textContent.trim()))
  .filter((one) => one.getAttribute("role") !== "status").map((one) => one.outerHTML)"""
"""Elements that a screen reader would have no name for."""
_FAINT = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (one) => {
    for (let each = one; each; each = each.parentElement) {
      const found = rgb(getComputedStyle(each).backgroundColor);
      if (found[3] > 200) return found;
    }
    return [255, 255, 255, 255];
  };
  const said = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !one.checkVisibility() || one.closest(".xterm, :disabled, .leaving, svg")) continue;
    const [a, b] = [light(rgb(getComputedStyle(one).color)), light(behind(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) said.push(`${ratio.toFixed(2)} ${one.className} ${one.textContent.slice(0, 30)}`);
  }
  return said;
})()"""
"""Texts with less contrast than WCAG 2.2 (AA, 1.4.3) asks for."""


_RED = """[...document.querySelectorAll(".xterm-rows span")]
  .some((one) => one.textContent.startsWith("red") && getComputedStyle(one).color === "rgb(255, 0, 0)")"""


def _curl(podrun: Podrun, path: str, token: str, *words: str) -> str:
    """What a client that is no browser is answered."""
    bearer = ["-H", f"Authorization: Bearer {token}"] if token else []
    return podrun.run("curl", "-sk", "--max-time", "5", *bearer, *words, ORIGIN + path).stdout


def _queues(podrun: Podrun) -> str:
    """The queueing disciplines of the machine and of the pods."""
    pids = [str(pid) for pid in podrun._processes() if "pause" in Path(f"/proc/{pid}/comm").read_text()]
    pods = [subprocess.run(["nsenter", "-t", pid, "-n", "tc", "qdisc"], capture_output=True, text=True) for pid in pids]
    return podrun.run("tc", "qdisc").stdout + "".join(done.stdout for done in pods)


def _is_narrow(podrun: Podrun, wanted: bool) -> bool:
    return ("tbf" in _queues(podrun)) is wanted


def _run(podrun: Podrun, pod: str, container: str, script: str) -> None:
    podrun.kubectl("exec", pod, "-c", container, "--", "sh", "-c", script)


def _size(visitor: Any) -> int:
    """The columns that `stty size` has said in the terminal."""
    text = visitor.page.inner_text(".xterm-rows")
    found = re.search(r"(?:^|red )(\d+) (\d+)$", text, re.MULTILINE)
    assert found, text
    return int(found[2])
