"""A podrun of its own for tests, benchmarks and the virtual machine: started, crashed, looked into and ended.

Each lives in a network and a mount namespace of its own with its own root, so that several run side by side with
default settings: the real address ranges, ports and rules. A holder process keeps the two namespaces while daemons come
and go in them:

    with Podrun.start(images=prepared) as podrun:
        podrun.kubectl("apply", "-f", "pod.yaml")
        podrun.crash()                       # kill -9; the spawner (or the harness) brings it back
        assert podrun.leaks() == {}
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podrun.layout import Layout

BIN = Path(sys.executable).parent
PROJECT = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class HarnessError(AssertionError):
    """The daemon did not do what the harness asked; the text holds its log."""


@dataclass
class Podrun:
    """A daemon and what belongs to it. `options` are further words of `podrun daemon`."""

    root: Path
    holder: subprocess.Popen[bytes]
    options: tuple[str, ...] = ()
    at_rest: dict[str, set[str]] = field(default_factory=dict)
    """What there was when the daemon had just started: `leaks` compares with it."""
    programs: tuple[Path, ...] = (BIN,)
    """Directories that come first on the PATH of what is run beside the daemon."""

    @classmethod
    def start(
        cls,
        *,
        images: Path | None = None,
        options: Sequence[str] = (),
        config: dict[str, Any] | None = None,
        file_systems: dict[str, str] | None = None,
        run_in_memory: bool = False,
    ) -> Podrun:
        """A running daemon. `images` is a prepared image directory (see `prepare_images`), linked into its root.

        `file_systems` are directories below the root that are to be tmpfs of their own: their path and mount options.
        Only what runs beside the daemon sees these. `run_in_memory` leads `run` to a tmpfs, as /run is one.
        """
        # A unix socket's path has 107 bytes: pytest's own directories are too long.
        root = Path(tempfile.mkdtemp(prefix="pr-", dir="/tmp"))
        holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "--", "sh", "-c", _HOLD, BIN / "podrun", root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert holder.stdout is not None
        podrun = cls(root, holder, tuple(options))
        try:
            if run_in_memory:
                (root / "run").symlink_to(tempfile.mkdtemp(prefix="pr-", dir="/dev/shm"))
            if holder.stdout.readline() != b"ready\n":
                raise HarnessError("the test's namespaces could not be made (unshare, ip)")
            for path, words in (file_systems or {}).items():
                (root / path).mkdir(parents=True)
                podrun.run("mount", "-t", "tmpfs", "-o", words, "tmpfs", root / path)
            if images is not None:
                podrun.run("mkdir", "-p", podrun.layout.images.parent)
                podrun.run("cp", "-a" if file_systems else "-al", images, podrun.layout.images)
            # A machine whose disk is nearly full evicts pods: no test is to depend on that.
            podrun.layout.etc.mkdir(parents=True)
            settings = {"evictionHard": {}, **(config or {})}  # None: not said at all, as older versions want it
            said = {name: value for name, value in settings.items() if value is not None}
            podrun.layout.config.write_text(json.dumps(said))
            podrun.start_daemon()
            podrun.at_rest = podrun.inventory()
        except BaseException:
            podrun.end()
            raise
        return podrun

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def kubeconfig(self) -> Path:
        return self.layout.kubeconfig

    # running things beside the daemon

    def inside(self, *argv: str | Path) -> list[str]:
        """`argv`, to be run in the daemon's network and mount namespaces."""
        return [
            "nsenter",
            f"--target={self.holder.pid}",
            "--net",
            "--mount",
            f"--wd={os.getcwd()}",
            "--",
            *map(str, argv),
        ]

    def run(
        self, *argv: str | Path, input: str | None = None, check: bool = True, seconds: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program there to its end; with `check`, a failure is a test's failure that shows what it said."""
        done = subprocess.run(
            self.inside(*argv),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=self.environment(),
        )
        if check and done.returncode != 0:
            raise HarnessError(f"{' '.join(map(str, argv))}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def environment(self) -> dict[str, str]:
        """The environment of a person who works with this daemon."""
        return {
            **self.path_environment(),
            "PATH": ":".join([*map(str, self.programs), os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")]),
            "HOME": str(self.root),
            "KUBECONFIG": str(self.kubeconfig),
            "PODRUN_ROOT": str(self.root),
        }

    @staticmethod
    def path_environment() -> dict[str, str]:
        """This environment with podrun's own programs first on the PATH."""
        return {**os.environ, "PATH": f"{BIN}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}"}

    def shell(self, command: str, *, seconds: float = 60.0) -> str:
        """What a shell command that succeeds prints, run in the project's directory."""
        return self.run("bash", "-c", f"cd {PROJECT} && {command}", seconds=seconds).stdout

    def type_into(self, command: str, lines: Sequence[str], *, seconds: float = 30.0) -> str:
        """What a terminal shows of a command into which `lines` are typed, each once there is a prompt (# or $).

        Fails where the command does not end by itself in time.
        """
        argv = self.inside("bash", "-c", f"cd {PROJECT} && {command}")
        shown, typed, deadline = b"", 0, time.monotonic() + seconds
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe(argv[0], argv, self.environment())
        try:
            while time.monotonic() < deadline:
                if not select.select([terminal], [], [], 0.2)[0]:
                    continue
                try:
                    piece = os.read(terminal, 65536)
                except OSError:  # EIO: the last process has let go of the terminal
                    piece = b""
                if not piece:
                    return shown.decode(errors="replace").replace("\r\n", "\n")
                shown += piece
                if typed < len(lines) and _CONTROL.sub(b"", shown).rstrip().endswith((b"#", b"$")):
                    os.write(terminal, lines[typed].encode() + b"\n")
                    typed += 1
            raise HarnessError(f"{command} has not ended\n{shown.decode(errors='replace')}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.close(terminal)
            os.waitpid(pid, 0)

    def kubectl(self, *words: str | Path, input: str | None = None, seconds: float = 60.0) -> str:
        """What a kubectl that succeeds prints."""
        return self.run("kubectl", *words, input=input, seconds=seconds).stdout

    def get(self, *words: str) -> dict[str, Any]:
        """An object: `kubectl get WORDS -o json`."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply manifests given as dicts."""
        self.kubectl("apply", "-f", "-", input="\n---\n".join(map(json.dumps, objects)))

    def podrun(self, *words: str | Path, input: str | None = None, check: bool = True, seconds: float = 60.0) -> str:
        """What a podrun command prints."""
        return self.run("podrun", *words, input=input, check=check, seconds=seconds).stdout

    # the daemon's own life

    @property
    def daemon_pid(self) -> int:
        """podrund, as it notes itself. Raises HarnessError where none runs."""
        try:
            pid = int((self.layout.run / "podrund.pid").read_text())
            if b"podrun" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        except (OSError, ValueError):
            pass
        raise HarnessError(f"no podrund runs\n{self.log()}")

    def daemon_runs(self) -> bool:
        """Whether a podrund runs."""
        try:
            return self.daemon_pid > 0
        except HarnessError:
            return False

    def daemon_is_new(self, before: int) -> bool:
        """Whether another podrund than process `before` runs and answers."""
        try:
            if self.daemon_pid == before:
                return False
        except HarnessError:  # it has just begun, or just ended
            return False
        return self.run("podrun", "ps", check=False).returncode == 0

    @property
    def spawner_pid(self) -> int:
        """Whoever listens at the spawner's socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(self.layout.spawner_run / "socket"))
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def log(self) -> str:
        """The end of what the daemon said."""
        try:
            return self.layout.daemon_log.read_text(errors="replace")[-8000:]
        except FileNotFoundError:
            return "(it said nothing)"

    def start_daemon(self) -> None:
        """Begin podrund and return when it serves."""
        self.layout.daemon_log.parent.mkdir(parents=True, exist_ok=True)
        with _notify_socket(self.layout.run) as (path, told), self.layout.daemon_log.open("ab") as log:
            process = subprocess.Popen(
                self.inside("podrun", "daemon", "--root", self.root, *self.options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.environment(), "NOTIFY_SOCKET": str(path)},
                start_new_session=True,
            )
            deadline = time.monotonic() + START_SECONDS
            while b"READY=1" not in told(0.2):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise HarnessError(f"podrund did not start (exit code {process.poll()})\n{self.log()}")

    def crash(self) -> None:
        """Kill podrund and return when its successor (the spawner starts it) answers."""
        before = self.daemon_pid
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: self.daemon_is_new(before), START_SECONDS, f"podrund is not back\n{self.log()}")

    def end(self) -> None:
        """End daemon, spawner, pods and namespaces; what is left of them is ended by force; remove the root."""
        with contextlib.suppress(HarnessError, OSError, subprocess.SubprocessError):
            self.run("podrun", "reset", "--yes", check=False)
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.holder.kill()
        self.holder.communicate()
        _remove_cgroups(self.layout.name)
        shutil.rmtree((self.root / "run").resolve(), ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Podrun:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    # what is there

    def delete_pods(self) -> None:
        """Remove every pod at once."""
        self.kubectl("delete", "pods", "--all", "--all-namespaces", "--grace-period=0", "--force")

    def inventory(self) -> dict[str, set[str]]:
        """Everything that a pod makes and must not leave: by kind, as texts."""
        mounts = Path(f"/proc/{self.holder.pid}/mountinfo").read_text().splitlines()
        with contextlib.suppress(OSError):
            mounts += Path(f"/proc/{self.spawner_pid}/mountinfo").read_text().splitlines()
        links = self.run("ip", "-o", "link").stdout.splitlines()
        return {
            "processes": {text for text in self._described() if not text.endswith(_LOG_PROCESS)} - self._own(),
            "mounts": {line.split(" ", 3)[3] for line in mounts},  # without ids: another spawner has a root of its own
            "links": {line.split(": ")[1] for line in links},
            "cgroups": {str(path) for path in _cgroups(self.layout.name)},
            "pod directories": _names(self.layout.pods) | _names(self.layout.containers),
        }

    def leaks(self) -> dict[str, set[str]]:
        """What is there beyond `at_rest`, by kind; {} when nothing is. Waits a little for what the kernel ends late."""
        left: dict[str, set[str]] = {}

        def clean() -> bool:
            left.clear()
            now = self.inventory()
            left.update({kind: now[kind] - self.at_rest[kind] for kind in now if now[kind] - self.at_rest[kind]})
            return not left

        with contextlib.suppress(HarnessError):
            wait_until(clean, 5.0, "")
        return left

    def owns(self, pid: int) -> bool:
        """Whether a process belongs to this podrun: the daemon, the spawner, or a pod's."""
        return pid in self._processes()

    def descriptors(self) -> tuple[int, int]:
        """Open descriptors of podrund and of the spawner."""
        return len(os.listdir(f"/proc/{self.daemon_pid}/fd")), len(os.listdir(f"/proc/{self.spawner_pid}/fd"))

    def _described(self) -> list[str]:
        return [f"{pid} {_command(pid)}" for pid in self._processes()]

    def _own(self) -> set[str]:
        pids = [self.holder.pid]
        for find in (lambda: self.daemon_pid, lambda: self.spawner_pid):
            with contextlib.suppress(HarnessError, OSError):
                pids.append(find())
        return {f"{pid} {_command(pid)}" for pid in pids}

    def _processes(self) -> list[int]:
        """Whoever shares the holder's network or mounts, or is in one of this podrun's cgroups."""
        network, mounts = (os.readlink(f"/proc/{self.holder.pid}/ns/{kind}") for kind in ("net", "mnt"))
        members = {int(pid) for path in _cgroups(self.layout.name) for pid in _lines(path / "cgroup.procs")}
        found = []
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(name)
                here = (os.readlink(f"/proc/{pid}/ns/net"), os.readlink(f"/proc/{pid}/ns/mnt"))
                spare = Path(f"/proc/{pid}/comm").read_text() == "podrun spare\n"  # the spawner's, gone in seconds
                if pid != self.holder.pid and not spare and (here[0] == network or here[1] == mounts or pid in members):
                    found.append(pid)
        return found


_LOG_PROCESS = " podrun spawner logs"
"""The spawner's helper, which takes this title a moment after its start: no pod's."""

_HOLD = """
ip link set lo up
ip link add eth0 type veth peer name world
ip addr add 198.51.100.10/24 dev eth0
ip link set eth0 up; ip link set world up
ip route add default via 198.51.100.1
echo ready
while read -r _; do :; done  # until the test's process has gone, however it went
"$0" --root "$1" reset --yes >/dev/null 2>&1
rm -rf "$1"
"""
"""A machine has an address that others know and a way to the world, here one that leads nowhere."""


def prepare_images(recipes: Sequence[Path], key: str, work: str = "work") -> Path:
    """An image directory with what `recipes` make, built once on this machine; `key` names its content.

    Built in the machine's own network namespace, since recipes fetch packages. `work` names the directory of what is
    built, old and new; those who share it have each other's images.
    """
    cache = Path("/var/tmp/podrun-test-images")
    ready = cache / key
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.is_dir():
            built = cache / work  # kept: what has not changed is not built again
            command = [str(part) for part in (BIN / "podrun", "--root", built, "images", "build", *recipes)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            fresh = cache / f".{key}"
            shutil.rmtree(fresh, ignore_errors=True)
            subprocess.run(["cp", "-al", Layout(built).images, fresh], check=True)
            shutil.rmtree(fresh / "build", ignore_errors=True)  # the compiler's cache: thousands of files
            fresh.rename(ready)
    return ready


def wait_until(true: Callable[[], bool], seconds: float, otherwise: str, every: float = 0.02) -> None:
    """Ask until the answer is yes: for tests, which have no event of the daemon's to wait for."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise HarnessError(otherwise)
        time.sleep(every)


AS_NOBODY = ("setpriv", "--reuid=65534", "--clear-groups")


def nobody_may_run_podrun() -> bool:
    """Whether an account without rights reaches this folder and its interpreter (not below a home of root's)."""
    command = [*AS_NOBODY, str(BIN / "podrun"), "--version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def _notify_socket(directory: Path) -> Iterator[tuple[Path, Callable[[float], bytes]]]:
    """A socket that hears sd_notify messages, as systemd's."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "notify"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))

        def told(seconds: float) -> bytes:
            ready, _, _ = select.select([listener], [], [], seconds)
            return listener.recv(4096) if ready else b""

        yield path, told
    path.unlink(missing_ok=True)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _names(directory: Path) -> set[str]:
    try:
        return {f"{directory.name}/{name}" for name in os.listdir(directory)}
    except FileNotFoundError:
        return set()


def _cgroups(name: str) -> list[Path]:
    """Every cgroup of a podrun, in every tree, deepest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup"):
            for parent in ("", "podrun-pods.scope"):
                top = Path(before.split(" ")[4], parent, name)
                found += [Path(where) for where, _, _ in os.walk(top, topdown=False)]
    return found


def _remove_cgroups(name: str) -> None:
    for path in _cgroups(name):
        for _ in range(100):
            try:
                path.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)
            else:
                break
