"""What kind of object something is: group, version and kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class KindRef(NamedTuple):
    """A kind as apiVersion and kind name it; the core group is the empty string."""

    group: str
    version: str
    kind: str

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> KindRef:
        """The kind that an object says it is; what is no text says nothing."""
        version, kind = obj.get("apiVersion"), obj.get("kind")
        return cls.parse(version if isinstance(version, str) else "", kind if isinstance(kind, str) else "")

    @classmethod
    def parse(cls, api_version: str, kind: str) -> KindRef:
        """`("apps/v1", "Deployment")` or `("v1", "Pod")`."""
        group, slash, version = api_version.rpartition("/")
        return cls(group if slash else "", version, kind)

    @property
    def api_version(self) -> str:
        """`v1` or `group/v1`, as in an object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> str:
        """`Pod` or `Lease.coordination.k8s.io`, as in `... "x" is invalid`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def __str__(self) -> str:
        """`/v1, Kind=Pod`, as Go prints a GroupVersionKind."""
        return f"{self.group}/{self.version}, Kind={self.kind}"
