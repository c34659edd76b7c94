"""Who a container's process is: from what the pod and the image ask for and the image's own passwd and group files.

The rules are containerd's: a number needs no entry, a name does; the group is the one asked for, else the entry's, else
0; groups of /etc/group that list the user are joined unless the pod says Strict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from podrun.runtime.model import User

ReadFile = Callable[[str], str]
"""Gives the text of a file of the image, "" where there is none."""


class UnknownIdentity(Exception):
    """A user or group name that the image does not know."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Numbers for setuid and company, and the home directory for $HOME."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(user: User, read: ReadFile) -> Identity:
    """Raises UnknownIdentity."""
    accounts = _accounts(read("/etc/passwd"))
    groups = _groups(read("/etc/group"))
    asked_user, asked_group = _asked(user)
    account = _account(asked_user, accounts)
    gid = account.gid
    if user.gid is not None:
        gid = user.gid
    elif asked_group:
        gid = _gid(asked_group, groups)
    joined = [gid]
    if not user.strict_groups:
        joined += [group.gid for group in groups if account.name and account.name in group.members]
    joined += user.supplemental_groups
    joined += [user.fs_group] if user.fs_group is not None else []
    return Identity(account.uid, gid, tuple(dict.fromkeys(joined)), account.home)


def _asked(user: User) -> tuple[str, str]:
    """The user and the group as words; runAsUser wins over all of the image's USER, its group included."""
    if user.uid is not None:
        return str(user.uid), ""
    name, _, group = user.name.partition(":")
    return name or "0", group


def _account(asked: str, accounts: list[_Account]) -> _Account:
    number = int(asked) if asked.isdigit() else None
    for account in accounts:
        if account.uid == number if number is not None else account.name == asked:
            return account
    if number is None:
        raise UnknownIdentity(f"unable to find user {asked}: no matching entries in passwd file")
    return _Account("", number, 0, "/")


def _gid(asked: str, groups: list[_Group]) -> int:
    if asked.isdigit():
        return int(asked)
    for group in groups:
        if group.name == asked:
            return group.gid
    raise UnknownIdentity(f"unable to find group {asked}: no matching entries in group file")


def _accounts(passwd: str) -> list[_Account]:
    rows = (line.split(":") for line in passwd.splitlines())
    return [
        _Account(row[0], int(row[2]), int(row[3]), row[5] or "/")
        for row in rows
        if len(row) >= 6 and row[2].isdigit() and row[3].isdigit()
    ]


def _groups(group: str) -> list[_Group]:
    rows = (line.split(":") for line in group.splitlines())
    return [
        _Group(row[0], int(row[2]), tuple(name for name in row[3].split(",") if name))
        for row in rows
        if len(row) >= 4 and row[2].isdigit()
    ]
