"""`podrun kubeconfig`: where the API is and how to prove who you are, printed or merged into a person's own file."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from podrun.cli.errors import FAILED, NO_DAEMON, NOT_ROOT, OK, CommandError
from podrun.layout import Layout

EXAMPLES = """\
examples:
  podrun kubeconfig > pods.kubeconfig     a file of its own, for a tool or another account
  podrun kubeconfig --path                where the daemon keeps it
  sudo podrun kubeconfig --merge          a context `podrun` in root's and your own ~/.kube/config
"""


@dataclass(frozen=True, slots=True)
class Person:
    """An account with a kubeconfig."""

    name: str
    uid: int
    gid: int
    file: Path


def configure(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--merge", action="store_true", help="add a context to the caller's kubeconfig, and to root's")
    what.add_argument("--unmerge", action="store_true", help="take that context out again")
    what.add_argument("--path", action="store_true", help="print the path of the daemon's file only")


def run(arguments: argparse.Namespace) -> int:
    file = Layout(arguments.root).kubeconfig
    if arguments.path:
        print(file)
        return OK
    if arguments.unmerge:
        return unmerge_all()
    try:
        text = file.read_text()
    except PermissionError:
        raise CommandError(f"{file} is for root only", "run it with sudo", NOT_ROOT) from None
    except FileNotFoundError:
        raise CommandError(
            f"there is no {file} yet", "the daemon writes it when it first starts: systemctl start podrun", NO_DAEMON
        ) from None
    if not arguments.merge:
        sys.stdout.write(text)
        return OK
    import yaml

    ours = yaml.safe_load(text)
    return _for_each_person(lambda person: _merge(person, ours, file))


def unmerge_all() -> int:
    """Take our context out of everybody's file; the exit code."""
    return _for_each_person(_unmerge)


def people() -> list[Person]:
    """Who is to have the context: root, and whoever called sudo."""
    import pwd

    found = [Person("root", 0, 0, _file_of(Path("/root"), os.environ.get("KUBECONFIG", "")))]
    name = os.environ.get("SUDO_USER", "root")
    if name != "root":
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return found
        found.append(Person(name, entry.pw_uid, entry.pw_gid, _file_of(Path(entry.pw_dir), "")))
    return found


def _file_of(home: Path, variable: str) -> Path:
    first = variable.split(":")[0]
    return Path(first) if first else home / ".kube" / "config"


def _for_each_person(act: Callable[[Person], int]) -> int:
    if os.geteuid() != 0:
        raise CommandError("this writes to root's files", "run it with sudo", NOT_ROOT)
    return max(_as_person(person, act) for person in people())


def _as_person(person: Person, act: Callable[[Person], int]) -> int:
    """Run `act` in a child that is that account: a link in somebody's home must not lead root's pen elsewhere."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = FAILED
        try:
            if person.uid != 0:
                os.initgroups(person.name, person.gid)
                os.setresgid(person.gid, person.gid, person.gid)
                os.setresuid(person.uid, person.uid, person.uid)
            os.umask(0o077)
            code = act(person)
        except (OSError, ValueError) as error:
            print(f"podrun: {person.name}: {error}", file=sys.stderr)
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _merge(person: Person, ours: dict[str, object], ours_file: Path) -> int:
    from podrun.apiserver import kubeconfig

    try:
        merged = kubeconfig.merge(kubeconfig.read(person.file), ours)
    except kubeconfig.ForeignContext as error:
        print(
            f"podrun: {person.file}: {error}; it is left as it is\n"
            f"        rename it (kubectl config rename-context), or use KUBECONFIG={ours_file}",
            file=sys.stderr,
        )
        return FAILED
    if merged.changed:
        kubeconfig.write(person.file, merged.config)
    print(f"{person.file}: context {merged.context} {'written' if merged.changed else 'is there already'}")
    if not merged.is_current:
        print(f"  the current context stays {merged.current_context}; to switch {person.name} to podrun:")
        print(f"  kubectl config use-context {merged.context}")
    return OK


def _unmerge(person: Person) -> int:
    from podrun.apiserver import kubeconfig

    before = kubeconfig.read(person.file)
    after = kubeconfig.without(before)
    if after == before:
        return OK
    if any(after.get(section) for section in ("clusters", "contexts", "users")):
        kubeconfig.write(person.file, after)
    else:
        person.file.unlink()  # it was podrun's alone
        with contextlib.suppress(OSError):
            person.file.parent.rmdir()
    print(f"{person.file}: context {kubeconfig.NAME} removed")
    return OK
