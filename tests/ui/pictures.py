"""The pictures of examples/pictures, taken of a true run: `python -m tests.ui.pictures [VIEW...]`.

A view is the name of a picture without `-light` or `-dark`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import shipped_images
from tests.harness import PROJECT, Podrun
from tests.ui.browsing import Visitor, browser_in

PICTURES = PROJECT / "examples/pictures"
PODS = (PICTURES / "shop.yaml", PROJECT / "examples/bookstore/raw-manifests/02-catalog-pod-sidecar.yaml")
SETTLED = 9000
"""Milliseconds after which lists have their heights and the news have something to tell."""
COLOURS = 256

VIEWS: dict[str, tuple[str, int, int]] = {
    "pods": ("", 1280, 420),
    "drawing": ("default/shop", 1280, 1290),
    "timeline": ("default/shop/timeline", 1280, 1000),
    "logs": ("default/shop/logs", 1280, 760),
    "terminal": ("default/shop/terminal", 1280, 760),
    "phone": ("default/shop", 390, 844),
}
"""Picture to (place on the page, width, height)."""


def main(wanted: list[str]) -> None:
    """Take the pictures named, or all."""
    views = {name: VIEWS[name] for name in wanted or VIEWS}
    with Podrun.start(images=shipped_images()) as podrun, tempfile.TemporaryDirectory() as work:
        for pods in PODS:
            podrun.podrun("play", pods)
        with browser_in(podrun, Path("/usr/bin/chromium"), Path(work)) as browser:
            for scheme in ("light", "dark"):
                with Visitor.at(browser, podrun, color_scheme=scheme) as visitor:
                    for name, (place, width, height) in views.items():
                        _take(visitor, place, (width, height), PICTURES / f"{name}-{scheme}.png")


def _take(visitor: Visitor, place: str, size: tuple[int, int], picture: Path) -> None:
    width, height = size
    visitor.page.set_viewport_size({"width": width, "height": height})
    visitor.go(place)
    if place.endswith("terminal"):
        visitor.sees("connected to web", ".bar-of-tools")
        visitor.page.keyboard.type("ps -o pid,user,args; hostname; wget -qO- localhost:8080\n")
    visitor.page.wait_for_timeout(SETTLED)
    visitor.page.screenshot(path=picture)
    subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", str(COLOURS), picture], check=True)
    print(picture.relative_to(PROJECT), f"{picture.stat().st_size / 1024:.0f} KiB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
