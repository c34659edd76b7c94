"""The files of the page: what is served, how it is fenced in, and that nothing in it reaches outside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from podrun.ui.pages import HEADERS, STATIC, Pages, policy, to_the_page

OURS = [path for path in STATIC.rglob("*") if path.is_file() and path.parent.name != "xterm"]


async def _get(path: str, **headers: str):
    request = make_mocked_request("GET", f"/ui/{path}", headers=headers, match_info={"path": path})
    return await Pages().answer(request)


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("", "text/html"),
        ("index.html", "text/html"),
        ("js/main.js", "text/javascript"),
        ("css/base.css", "text/css"),
        ("xterm/xterm.mjs", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ],
)
async def test_files_are_served(path, type_):
    answer = await _get(path)
    assert (answer.status, answer.content_type) == (200, type_)
    assert {name: answer.headers[name] for name in HEADERS} == dict(HEADERS)


@pytest.mark.parametrize(
    "path", ["js", "js/", "../pages.py", "js/../../pages.py", "/etc/passwd", "xterm/LICENSE", "index.html/", "%2e%2e"]
)
async def test_nothing_else_is(path):
    assert (await _get(path)).status == 404


async def test_what_the_browser_has_is_not_sent_again():
    tag = (await _get("js/main.js")).headers["ETag"]
    again = await _get("js/main.js", **{"If-None-Match": tag})
    assert (again.status, again.body) == (304, None)


async def test_the_stroke_at_the_end_is_added():
    answer = await to_the_page(make_mocked_request("GET", "/ui"))
    assert (answer.status, answer.headers["Location"]) == (308, "/ui/")


def test_the_policy_allows_our_own_files_and_nothing_else():
    rules = dict(rule.split(" ", 1) for rule in policy("127.0.0.1:6443").split("; "))
    assert rules["default-src"] == "'none'"
    assert {rules[name] for name in ("script-src", "style-src", "img-src")} == {"'self'"}
    assert rules["connect-src"] == "'self' wss://127.0.0.1:6443"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in policy("127.0.0.1:6443")


@pytest.mark.parametrize("host", ["evil.example; script-src *", "a b", "a,b", "", "a'b"])
def test_a_host_that_is_none_does_not_come_into_the_policy(host):
    assert "connect-src 'self';" in policy(host)


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(STATIC)))
def test_a_file_of_ours_makes_no_markup_and_reaches_nowhere(path: Path):
    text = path.read_text()
    outside = set(re.findall(r"(?:https?|wss?):(?://)?[a-z0-9.]+", text)) - {"http://www.w3.org"}
    assert outside == set()
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text) == []
    if path.suffix == ".html":
        assert re.findall(r"<script(?! type=\"module\" src=\"/ui/)|\son\w+=\"|\sstyle=\"|<style", text) == []


def test_the_licences_of_what_others_wrote_are_shipped():
    assert {"LICENSE", "LICENSE.addon-fit", "VERSION"} <= {path.name for path in (STATIC / "xterm").iterdir()}
