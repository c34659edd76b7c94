"""Tries the ways out that are named, or all of them."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys

from tests.security.inside import WAYS
from tests.security.inside.ways import SECONDS, Held


def tried(name: str) -> dict[str, str]:
    """{"way", "outcome": "held" | "reached", "why"}; the attempt has a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        try:
            outcome, why = "reached", WAYS[name].attempt()
        except Held as held:
            outcome, why = "held", f"Held: {held}"
        except OSError as error:
            outcome, why = "held", f"{errno.errorcode.get(error.errno or 0, 'OSError')}: {error}"
        except BaseException as error:  # a mistake of the attempt's, which has shown nothing
            outcome, why = "mistaken", f"{type(error).__name__}: {error}"
        os.write(write, json.dumps({"way": name, "outcome": outcome, "why": why}).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(said) if said else {"way": name, "outcome": "mistaken", "why": f"wait status {status}"}


if __name__ == "__main__":
    for each in sys.argv[1:] or WAYS:
        print(json.dumps(tried(each)), flush=True)
