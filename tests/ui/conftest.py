"""A browser in the daemon's network: Debian's Chromium, driven by Playwright; without one these tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Podrun, wait_until
from tests.ui.browsing import Visitor, browser_in

BROWSER = ("chromium", "chrome_crashpad", "nsenter --target")
"""What the browser's processes are called: they are in the daemon's network, and no pod's."""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@pytest.fixture(scope="module")
def browser(module_podrun: Podrun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with browser_in(module_podrun, Path(CHROMIUM), tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def podrun(module_podrun: Podrun) -> Iterator[Podrun]:
    """As everywhere: the module's daemon, which has no pod when the test is over, and nothing left of one."""
    yield module_podrun
    module_podrun.delete_pods()
    left: dict[str, set[str]] = {}

    def clean() -> bool:
        now, rest = module_podrun.inventory(), module_podrun.at_rest
        left.update({kind: {each for each in now[kind] - rest[kind] if not _is_the_browsers(each)} for kind in now})
        return not any(left.values())

    wait_until(clean, 5.0, "something of a pod is left (see module_podrun.leaks)", every=0.1)


def _is_the_browsers(process: str) -> bool:
    return any(name in process for name in BROWSER)


@pytest.fixture
def visit(browser: Any, podrun: Podrun) -> Iterator[Callable[..., Visitor]]:
    """Opens the page with a link of its own: `visit("default/web/logs", width=390)`.

    At the end it must have asked nobody but podrund, complained of nothing, and let nothing from outside run.
    """
    with ExitStack() as stack:

        def open_page(place: str = "", **options: Any) -> Visitor:
            return stack.enter_context(Visitor.at(browser, podrun, place, **options))

        yield open_page
