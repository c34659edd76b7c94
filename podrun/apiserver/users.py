"""Who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ANONYMOUS_NAME = "system:anonymous"
MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"


@dataclass(frozen=True, slots=True)
class User:
    """An identity as authentication gives it (apiserver's user.Info)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_master(self) -> bool:
        """Whether authorization is not asked at all."""
        return MASTERS in self.groups

    @property
    def is_anonymous(self) -> bool:
        return self.name == ANONYMOUS_NAME


ANONYMOUS = User(ANONYMOUS_NAME, (UNAUTHENTICATED,))


def authenticated(name: str, groups: tuple[str, ...] = (), **rest: object) -> User:
    """A user who has shown who they are: a member of system:authenticated."""
    return User(name, (*groups, AUTHENTICATED), **rest)  # type: ignore[arg-type]
