"""k9s in a terminal, as a person uses it: keys are typed, the screen is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.clients.go_programs import go_program
from tests.clients.terminal import Screen
from tests.harness import Podrun
from tests.pods.living import FOREVER, Pods, pod, shell

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="Debian's package tmux is not installed")

TALKING = """
mkdir /www && echo hello >/www/index.html && httpd -p 8080 -h /www
while :; do echo tick; sleep 1; done
"""
SETTINGS = {"skipLatestRevCheck": True, "ui": {"splashless": True, "logoless": True, "noIcons": True}}
EDITOR = r"""#!/bin/sh
sed -i 's/^  name: shop$/  labels: {edited: with-k9s}\n  name: shop/' "$1"
"""

VIEWS = {
    "nodes": r"\S+ +Ready +",
    "events": r"Normal +Started",
    "services": r"kubernetes +ClusterIP +10\.96\.0\.1",
    "configmaps": r"kube-root-ca\.crt +1",
    "clusterroles": "cluster-admin",
}
"""What is typed after the colon, and what is seen then."""


@pytest.fixture
def pods(podrun: Podrun) -> Pods:
    """A pod named shop: a web server that talks, and a native sidecar."""
    pods = Pods(podrun)
    web = shell("web", TALKING, ports=[{"name": "http", "containerPort": 8080}])
    pods.run(pod("shop", web, initContainers=[shell("sidecar", FOREVER, restartPolicy="Always")]))
    return pods


@pytest.fixture
def k9s(podrun: Podrun, pods: Pods) -> Iterator[Screen]:
    """A k9s that shows the pods of the default namespace, the only one selected."""
    home = podrun.root / "k9s"
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(json.dumps({"k9s": SETTINGS}))
    editor = home / "editor"
    editor.write_text(EDITOR)
    editor.chmod(0o755)
    own = {"K9S_CONFIG_DIR": str(home), "K9S_EDITOR": str(editor), "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
    log = podrun.root / "k9s.log"
    argv = podrun.inside(go_program("k9s"), "--command", "pods", "--logFile", str(log))
    with Screen.of(argv, podrun.environment() | own, podrun.root / "tmux") as screen:
        screen.shows(r"\bshop +\S +2/2 +Running", seconds=30)
        yield screen


def test_the_pods_view_lives(k9s: Screen, podrun: Podrun, pods: Pods) -> None:
    """Pods come, restart and go; the view follows, also from one podrund to the next."""
    pods.create(pod("visitor", shell(script="sleep 2; exit 3")))
    k9s.shows(r"visitor +\S +1/1 +Running")
    k9s.shows(r"visitor +\S +\d/1 +\S+ +1\b")
    podrun.crash()
    pods.delete("visitor")
    k9s.shows_no("visitor")
    pods.create(pod("guest"))
    k9s.shows(r"guest +\S +1/1 +Running +0 .* 10\.244\.0\.\d+")


def test_logs_are_followed(k9s: Screen, pods: Pods) -> None:
    k9s.type("l")
    ticks = k9s.shows("web tick").count("web tick")
    k9s.until(lambda text: text.count("web tick") > ticks, 10, "the log does not grow")


def test_a_shell_is_opened_in_the_container_that_is_picked(k9s: Screen) -> None:
    k9s.type("s")
    k9s.shows("web", "sidecar", "<picker>")
    k9s.press("Down", "Enter")
    k9s.shows("Container: sidecar", "/ #")
    k9s.type("echo I am $(hostname), $(ls /www 2>&1)")
    k9s.press("Enter")
    k9s.shows("I am shop, ls: /www: No such file or directory")
    k9s.press("C-d")
    k9s.shows("<picker>")


def test_a_pod_is_described_and_shown_as_yaml(k9s: Screen) -> None:
    k9s.type("d")
    k9s.shows("Describe", r"Name: +shop", r"Service Account: +default", "Init Containers:")
    k9s.press("Escape")
    k9s.shows(r"shop +\S +2/2")
    k9s.type("y")
    k9s.shows("YAML", "apiVersion: v1", "kind: Pod")


def test_a_port_is_forwarded(k9s: Screen, podrun: Podrun) -> None:
    k9s.press("F")
    k9s.shows("Container Port: web::8080", r"Local Port: +8080")
    k9s.press("Tab", "Tab", "Tab", "Enter")
    k9s.shows("PortForward activated 8080")
    asked = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8080/', timeout=10).read())"
    assert podrun.run("python", "-c", asked).stdout == "b'hello\\n'\n"


def test_a_pod_is_edited(k9s: Screen, pods: Pods) -> None:
    k9s.type("e")
    pods.until("shop", lambda now: now["metadata"].get("labels") == {"edited": "with-k9s"})
    k9s.shows(r"shop +\S +2/2")


def test_a_pod_is_deleted(k9s: Screen, pods: Pods) -> None:
    k9s.press("C-d")
    k9s.shows("Delete pods default/shop")
    k9s.press("Tab", "Enter")
    k9s.shows(r"shop.*Terminating|Delete resource v1/pods default/shop")
    pods.gone("shop")
    k9s.shows_no(r"\bshop +\S +2/2")


def test_a_pod_is_killed(k9s: Screen, pods: Pods) -> None:
    k9s.press("C-k")
    pods.gone("shop", seconds=5)
    k9s.shows_no(r"\bshop +\S +2/2")


def test_xray_shows_what_a_pod_is_made_of_and_pulses_how_all_are(k9s: Screen) -> None:
    k9s.type(":xray pods")
    k9s.press("Enter")
    k9s.shows("namespace/default", "pod/shop", "container/web", "container/sidecar", "serviceaccount/default")
    k9s.type(":pulses")
    k9s.press("Enter")
    k9s.shows("<pulses>", "Pods", "Serviceaccounts", r"Cpu +\d+%", r"Memory +\d+%")


def test_other_kinds_have_views(k9s: Screen) -> None:
    for view, pattern in VIEWS.items():
        k9s.type(f":{view}")
        k9s.press("Enter")
        k9s.shows(pattern)
