"""`podrun ui`: a link to the page that podrund serves, good for one browser, and that browser if there is one."""

from __future__ import annotations

import argparse
import os
import sys

from podrun.cli.client import Client
from podrun.cli.errors import OK
from podrun.layout import api_socket

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from pathlib import Path
    from pwd import struct_passwd

EXAMPLES = """\
examples:
  sudo podrun ui                  opens a browser, and prints the link
  sudo podrun ui --no-browser     prints the link only
  ssh -L 6443:127.0.0.1:6443 HOST, then the link of `sudo podrun ui` there, in the browser here

The link works once, for ten minutes; the page it opens stays logged in for as long as it is open, twelve hours at most.
The browser does not know podrun's certificate authority and asks once whether to go on.
"""

_OPENERS = ("xdg-open", "sensible-browser", "x-www-browser", "firefox", "chromium")
_REDIRECT = """\
<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>podrun</title>
<meta http-equiv="refresh" content="0; url={url}"><p><a href="{url}">podrun</a></p>
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-browser", action="store_true", help="print the link and open nothing")


def run(arguments: argparse.Namespace) -> int:
    link = Client(api_socket(arguments.root)).send("POST", "/podrun/v1/ui/links")
    opened = not arguments.no_browser and _open(link["url"])
    print(link["url"], flush=True)
    minutes = link["seconds"] // 60
    print(f"it works once, within {minutes} minutes{'; a browser has been opened' if opened else ''}", file=sys.stderr)
    if not opened and os.environ.get("SSH_CONNECTION"):
        address = link["url"].split("/")[2]
        port = address.rpartition(":")[2]
        print(f"from another machine: ssh -L {port}:{address} THIS-MACHINE, then open it there", file=sys.stderr)
    return OK


def _open(url: str) -> bool:
    """Open the caller's browser as the caller (never as root for somebody who used sudo); whether there is one.

    Every account sees the words of a command line. So the browser is given a file that only the caller can read, and
    the file leads to the link.
    """
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    import pwd
    import shutil
    import subprocess

    opener = next(filter(None, map(shutil.which, _OPENERS)), None)
    if opener is None:
        return False
    person = pwd.getpwuid(int(os.environ.get("SUDO_UID") or os.getuid()))
    as_them = ["setpriv", f"--reuid={person.pw_uid}", f"--regid={person.pw_gid}", "--init-groups"]
    command = [*(as_them if os.geteuid() != person.pw_uid else ()), opener, str(_leading_to(url, person))]
    environment = {**os.environ, "HOME": person.pw_dir, "XDG_RUNTIME_DIR": f"/run/user/{person.pw_uid}"}
    try:
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    return True


def _leading_to(url: str, person: struct_passwd) -> Path:
    """A file of that person's own, in a directory of its own, that leads a browser to `url`."""
    import tempfile
    from pathlib import Path

    directory = Path(tempfile.mkdtemp(prefix="podrun-ui-"))
    page = directory / "open.html"
    page.write_text(_REDIRECT.format(url=url))
    page.chmod(0o600)
    for path in (page, directory):
        os.chown(path, person.pw_uid, person.pw_gid)
    return page
