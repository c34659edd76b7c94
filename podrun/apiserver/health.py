"""Whether the server is well, what it is, and other paths that are no resources."""

from __future__ import annotations

import platform
from typing import Any

Object = dict[str, Any]

GIT_VERSION = "v1.36.2+podrun"
CHECKS = ("/healthz", "/livez", "/readyz")
TEXT = "text/plain; charset=utf-8"
NOT_FOUND = "404 page not found\n"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def version() -> Object:
    """GET /version: the Kubernetes that is spoken, and that it is podrun who speaks."""
    return {
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": f"CPython {platform.python_version()}",
        "platform": f"linux/{_MACHINES.get(platform.machine(), platform.machine())}",
    }


def check(path: str, ready: bool, *, verbose: bool) -> tuple[int, str] | None:
    """The answer of a health path (`/livez`, `/readyz/ping`); None where it is none."""
    base, _, name = path.strip("/").partition("/")
    if f"/{base}" not in CHECKS or name not in ("", "ping"):
        return None
    if base == "readyz" and not name and not ready:
        return 500, "[+]ping ok\n[-]pods failed: podrun is still starting\nreadyz check failed\n"
    return 200, f"[+]ping ok\n{base} check passed\n" if verbose and not name else "ok"
