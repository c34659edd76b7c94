"""Where everything of podrun is on disk: the only place that knows these names.

`Layout("/")` is the machine's own (/var/lib/podrun, /run/podrun, /var/log/pods, /etc/podrun); with another root
everything lies below it, which is how a test has a daemon of its own. Rooms are given the directories they work in
and never a Layout.

The module is read by every `podrun` command, and `podrun ps` has 30 ms: pathlib (6 ms) is imported when a path is
first asked for, and the socket's name can be had as a string.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from pathlib import Path

API_SOCKET = "run/podrun/podrun.sock"
SOCKET_PATH_LIMIT = 107
"""Bytes of a unix socket's path that the kernel takes (unix(7): sun_path holds 108 with the closing zero)."""


def api_socket(root: str) -> str:
    """The path of the root-only unix socket below `root`, without making a Layout."""
    return os.path.join(root, API_SOCKET)


class Layout:
    """The directories and files of one podrun."""

    __slots__ = ("root",)

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        self.root = os.path.abspath(root)

    def __repr__(self) -> str:
        return f"Layout({self.root!r})"

    @property
    def is_machine(self) -> bool:
        """Whether this is the machine's own podrun, not one below a root of its own."""
        return self.root == "/"

    @property
    def name(self) -> str:
        """A short word that tells two podruns on one machine apart: in cgroups, nft tables and link names."""
        if self.is_machine:
            return "podrun"
        import zlib

        return f"podrun-{zlib.crc32(self.root.encode()):08x}"

    def _below_root(self, name: str) -> Path:
        from pathlib import Path

        return Path(self.root, name)

    # what must survive a reboot
    @property
    def state(self) -> Path:
        """The database, images, and what belongs to pods."""
        return self._below_root("var/lib/podrun")

    @property
    def database(self) -> Path:
        return self.state / "podrun.db"

    @property
    def images(self) -> Path:
        return self.state / "images"

    @property
    def pods(self) -> Path:
        """Volumes, one directory per pod uid, as below the kubelet's /var/lib/kubelet/pods."""
        return self.state / "pods"

    @property
    def containers(self) -> Path:
        """Writable layers and what the runtime notes about sandboxes and containers."""
        return self.state / "containers"

    @property
    def timelines(self) -> Path:
        """Timelines of pods that have ended."""
        return self.state / "timelines"

    @property
    def schema_cache(self) -> Path:
        return self.state / "schema.cache"

    @property
    def host_record(self) -> Path:
        """What podrun changed on the machine and `podrun reset` puts back (ip_forward)."""
        return self.state / "host.json"

    @property
    def logs(self) -> Path:
        """Container logs in the kubelet's own layout: NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log."""
        return self._below_root("var/log/pods")

    # what may vanish at reboot
    @property
    def run(self) -> Path:
        return self._below_root("run/podrun")

    @property
    def api_socket(self) -> Path:
        return self._below_root(API_SOCKET)

    @property
    def spawner_run(self) -> Path:
        """The spawner's socket and exit records."""
        return self.run / "spawner"

    @property
    def daemon_log(self) -> Path:
        """What podrund says where no systemd keeps its output."""
        return self._below_root("var/log/podrun.log")

    # what a person edits or copies
    @property
    def etc(self) -> Path:
        return self._below_root("etc/podrun")

    @property
    def config(self) -> Path:
        return self.etc / "config.yaml"

    @property
    def kubeconfig(self) -> Path:
        return self.etc / "kubeconfig"

    @property
    def pki(self) -> Path:
        """Certificates and keys, mode 0700."""
        return self.etc / "pki"
