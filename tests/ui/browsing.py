"""Somebody at the page: a Chromium in a podrun's network namespace, and what a person does with it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.harness import Podrun

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 15
"""For which a person waits for something to appear."""


@contextlib.contextmanager
def browser_in(podrun: Podrun, chromium: Path, directory: Path) -> Iterator[Browser]:
    """A headless Chromium that sees the network that `podrun` sees, with a profile of its own."""
    from playwright.sync_api import sync_playwright

    starter = directory / "chromium"
    command = ["nsenter", f"--target={podrun.holder.pid}", "--net", "--", str(chromium)]
    starter.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    starter.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=starter, args=FLAGS, headless=True)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """A page that is open. What it should not have done is collected, and asserted when it is left."""

    def __init__(self, context: BrowserContext, podrun: Podrun) -> None:
        self.context = context
        self.podrun = podrun
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page: Page = self.tab()

    def tab(self) -> Page:
        """A further tab of the same browser."""
        page = self.context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("response", lambda response: self._heard(response.url, response.status))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        return page

    @classmethod
    @contextlib.contextmanager
    def at(
        cls,
        browser: Browser,
        podrun: Podrun,
        place: str = "",
        *,
        url: str = "",
        width: int = 1280,
        height: int = 900,
        **options: Any,
    ) -> Iterator[Visitor]:
        """Follow `url`, else a new link, and go to `place` (what stands after `#/`)."""
        size: Any = {"width": width, "height": height}
        context = browser.new_context(ignore_https_errors=True, viewport=size, **options)
        try:
            visitor = cls(context, podrun)
            visitor.page.goto(url or link(podrun))
            visitor.page.wait_for_selector(".heading, .empty")
            if place:
                visitor.go(place)
            yield visitor
            assert visitor.left() == []
        finally:
            context.close()

    def left(self) -> list[str]:
        """What the page did that it should not have: complaints, requests to others."""
        allowed = ("https://127.0.0.1:6443/", "wss://127.0.0.1:6443/")
        # The browser itself notes each connection that is cut and each request that is refused: what a pod is that has
        # just gone, say. The page's own files must all be there.
        notes = ("WebSocket connection to", "Failed to load resource")
        own = [text for text in self.complaints if not text.startswith(notes) and "net::ERR" not in text]
        return own + [url for url in self.requests if not url.startswith(allowed)]

    def _heard(self, url: str, status: int) -> None:
        if status >= 400 and url.startswith("https://127.0.0.1:6443/ui/"):
            self.complaints.append(f"{status} for {url}")

    def go(self, place: str) -> None:
        self.page.evaluate("place => { location.hash = `#/${place}`; }", place)

    def sees(self, text: str, where: str = "body") -> None:
        """Wait until `text` can be read in `where`."""
        self.page.locator(where).filter(has_text=text).first.wait_for()

    def loses(self, selector: str) -> None:
        """Wait until nothing that matches is there."""
        self.page.locator(selector).first.wait_for(state="detached")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def button(self, name: str, where: str = "body") -> None:
        self.page.locator(where).get_by_role("button", name=name, exact=True).click()

    def focused(self) -> str:
        """What has the focus, in its own words."""
        return str(
            self.page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
            )
        )


def link(podrun: Podrun) -> str:
    """What `podrun ui` prints."""
    return podrun.podrun("ui", "--no-browser").splitlines()[0]
