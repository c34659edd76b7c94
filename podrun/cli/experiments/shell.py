"""One command of bash, run to its end, to a word in its output, or to its deadline; nothing of it is left behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a command."""

    printed: str
    """stdout and stderr as they came."""
    code: int
    """As a shell says it: 128 and the signal's number where one ended it."""
    seconds: float
    in_time: bool = True
    """Whether it ended, or printed what was waited for, by itself in time."""


def run(command: str, environment: Mapping[str, str], directory: Path, seconds: float, until: str = "") -> Result:
    """Run it, with nothing on its standard input. With `until`, it is ended, successfully, once it has printed that."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=directory,
        start_new_session=True,  # a Ctrl-C is for the experiment, which ends the command itself
    )
    assert process.stdout is not None
    try:
        printed, found, in_time = _read(process, began + seconds, until.encode())
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        process.stdout.close()
    if found:
        code = 0
    elif until:
        in_time = False
    return Result(
        printed.decode(errors="replace"), code if code >= 0 else 128 - code, time.monotonic() - began, in_time
    )


def _read(process: subprocess.Popen[bytes], deadline: float, until: bytes) -> tuple[bytes, bool, bool]:
    """Its output; whether `until` was in it; whether it ended or was found in time."""
    assert process.stdout is not None
    output, printed = process.stdout.fileno(), b""
    os.set_blocking(output, False)
    ended = os.pidfd_open(process.pid)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        try:
            while (left := deadline - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left)}
                while piece := _piece(output):
                    printed += piece
                if until and until in printed:
                    return printed, True, True
                if ended in ready:  # what it left in the background has no say
                    return printed, False, True
                if piece == b"":
                    selector.unregister(output)
        finally:
            os.close(ended)
    return printed, False, False


def _piece(descriptor: int) -> bytes | None:
    """What is there to read; None where nothing is there yet, empty at the end."""
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return None
