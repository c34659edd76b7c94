"""What podrund and the spawner say to each other.

One SOCK_SEQPACKET unix socket; one packet is one JSON object `{"n": number, "m": message}` with its descriptors
attached (SCM_RIGHTS); one too large for a socket buffer travels as a memfd, its first descriptor. The spawner begins:

    spawner                                   podrund
      | -- n=0 Welcome ------------------------> |    version, boot id, the spawner's identity
      | <------------------------ n=1 Subscribe -|    from now on exits are told here
      | -- n=1 Living -------------------------> |    everything that runs, and every exit not yet acknowledged
      | <------------------------ n=2 Spawn+fds -|
      | -- n=2 Spawned+fds --------------------> |    after execve has succeeded; or Failed: nothing is left behind
      | -- n=0 Exited -------------------------> |    the record is on disk before this is sent
      | <------------------------ n=3 Acknowledge|    the record may go
      | -- n=3 Done ---------------------------> |

An answer carries its request's number; notices carry 0. Answers come in the order in which things end, not in which
they were asked. A process is known by the `id` that podrund gave it (unique for ever), and to the kernel by boot id,
pid and start time.
"""

from __future__ import annotations

from typing import Literal

from podrun.spawner.codec import message
from podrun.spawner.plan import Passed, Step, describe

__all__ = ["VERSION", "Passed", "Step", "describe"]

VERSION = 1
"""Counted up when a message changes its meaning; an unknown field or message is refused in any case (codec.py)."""


@message
class Capabilities:
    """The five sets as bit masks (podrun.kernel.capabilities.mask makes them from names)."""

    bounding: int
    effective: int
    permitted: int
    inheritable: int = 0
    ambient: int = 0


@message
class User:
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@message
class Seccomp:
    """A compiled filter: `struct sock_filter` array as bytes, and SECCOMP_FILTER_FLAG_* bits."""

    program: bytes
    flags: int = 0


@message
class Log:
    """Where the log process writes, in the CRI format. The directory must exist (in the host's mount namespace)."""

    path: str
    max_size: int = 10 << 20
    """Bytes at which the file is rotated (containerLogMaxSize); 0 never."""
    max_files: int = 5
    """Files kept, the current one included (containerLogMaxFiles)."""


@message
class Stdio:
    """The three streams.

    Without a terminal: a stream is a passed descriptor, or, where that is None: stdin a pipe whose write end the
    spawner keeps (`stdin_pipe`) or /dev/null; stdout and stderr a pipe to the log process when `log` is given, else
    /dev/null. With `terminal`: a pty of the devpts instance at /dev/pts of the process's root, its slave being all
    three streams, the controlling terminal and, for kind container, /dev/console (a file the plan has made).
    """

    stdin: Passed | None = None
    stdout: Passed | None = None
    stderr: Passed | None = None
    stdin_pipe: bool = False
    terminal: bool = False
    columns: int = 0
    rows: int = 0
    log: Log | None = None


@message
class Spawn:
    """A process, completely. Answer: Spawned or Failed.

    Order in the child: cgroups and plan, stdio, rlimits, oom_score_adj, working directory, bounding set, groups, user,
    seccomp, capabilities, execve. The environment is exactly `env`; without PATH in it no bare command is found.
    """

    id: str
    kind: Literal["pause", "container", "exec"]
    """pause and container leave an exit record until acknowledged; an exec's end is told over the socket only."""
    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    """`NAME=value`"""
    program: Passed | None = None
    """An executable by descriptor (pause); else argv[0] is looked up as execvp does, inside the root."""
    builtin_pause: bool = False
    """Execute the spawner's own pause program; argv only names it."""
    new_pid: bool = False
    """A new pid namespace, whose process 1 this is."""
    join_pid: Passed | None = None
    """A pidfd or /proc/PID/ns/pid whose pid namespace is joined."""
    plan: tuple[Step, ...] = ()
    stdio: Stdio = Stdio()
    cwd: str = "/"
    create_cwd: bool = False
    """Make a missing working directory (containers; an exec never does)."""
    umask: int = 0o022
    user: User = User()
    capabilities: Capabilities | None = None
    """None leaves the spawner's."""
    no_new_privs: bool = False
    seccomp: Seccomp | None = None
    apparmor: str = ""
    """The AppArmor profile from execve on; the kernel must have it."""
    rlimits: tuple[tuple[int, int, int], ...] = ()
    """(resource, soft, hard) with resource.RLIMIT_* numbers."""
    oom_score_adj: int | None = None
    """Where the kernel does not permit a lower value than the spawner's own, that one stays."""
    seconds: float = 60.0
    """The start is given up (killed, Failed stage "timeout") after this long."""


@message
class Signal:
    """Send a signal through the pidfd. Done, or Failed with ESRCH when it has ended."""

    id: str
    signal: int


@message
class Subscribe:
    """Tell exits on this connection from now on. Answer: Living, with every exit that has not been acknowledged."""


@message
class Acknowledge:
    """The exit has been noted durably by podrund; the spawner may forget it. Unknown ids are fine."""

    ids: tuple[str, ...]


@message
class Descriptors:
    """Duplicates of what the spawner holds of a living process. Answer: Held, with the descriptors attached."""

    id: str


@message
class Attach:
    """Copy what the process writes, raw, to passed pipes or sockets (non-blocking) from now on, until it ends.

    A terminal's output goes to `stdout`. A receiver more than 1 MiB behind is closed. Closing the other end ends it.
    """

    id: str
    stdout: Passed | None = None
    stderr: Passed | None = None


@message
class CloseStdin:
    """Close the spawner's copy of stdin's write end (the caller closes its own): end of file for the process."""

    id: str


@message
class Resize:
    id: str
    columns: int
    rows: int


@message
class ReopenLog:
    """Open the log's path anew (someone moved the file away), or, with `rotate`, rotate it now. Done when done."""

    id: str
    rotate: bool = False


@message
class DrainLog:
    """Done when all that the process had written by now is in the file."""

    id: str


@message
class Keep:
    """Hold passed descriptors (listening sockets) under a name for the next podrund; replaces what was there."""

    name: str
    about: str = ""
    """Free text that comes back (an address), so that the next podrund sees whether it is what it wants."""


@message
class Fetch:
    """Answer: Kept with duplicates of what is held under the name (none when unknown)."""

    name: str


@message
class Drop:
    """Close what is held under the name."""

    name: str


@message
class Supervise:
    """From now on, when this connection's peer dies, start it again with this argv (in the host's namespaces).

    An empty argv ends that: podrund is leaving on purpose. Not needed under systemd.
    """

    argv: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    output: str = ""
    """A file that its stdout and stderr are appended to; empty: /dev/null."""


@message
class Adopt:
    """After a spawner's violent death: hand descriptors of a process that still lives to the new one.

    `held` names the passed descriptors, as in Held; `log` goes on being written where it was.
    """

    id: str
    held: tuple[tuple[str, Passed], ...] = ()
    log: Log | None = None


@message
class Replace:
    """Re-execute the spawner (argv: the new code's command line; empty: the same), handing over its state.

    First `argv --check` reads the state; Failed, and everything goes on as before, when it cannot. Connections stay
    open; the answer is Done from the new code. Waits for starts that are under way.
    """

    argv: tuple[str, ...] = ()


@message
class Rest:
    """Let go of what is kept ready for the next start (spares.py), as the spawner does by itself after some seconds."""


@message
class Leave:
    """End the spawner and its log process. Failed (EBUSY) while processes live, unless `force`: those are killed."""

    force: bool = False


# Answers and notices


@message
class Welcome:
    version: int
    boot_id: str
    pid: int
    start_time: int
    """Clock ticks since boot: field 22 of /proc/PID/stat."""
    code: str
    """Which code the spawner runs (`program.code`)."""
    log_process: int = 0
    """Pid of the log process."""


@message
class Failure:
    """Why a process could not be begun, or another request not be done."""

    stage: Literal["request", "fork", "plan", "stdio", "identity", "cwd", "exec", "timeout", "died"]
    errno: int = 0
    call: str = ""
    """The system call or what was attempted: "mount", "openat2", "stat"."""
    path: str = ""
    step: int = -1
    """Index into the plan."""
    what: str = ""
    """The step for people: `mount overlay on /rootfs`."""
    message: str = ""
    """The whole sentence. For exec and cwd it is runc's: `exec: "/x": stat /x: no such file or directory`."""


@message
class Done:
    pass


@message
class Failed:
    failure: Failure


@message
class Spawned:
    """The process runs (execve has succeeded). Attached descriptors are named by `held`, in order."""

    id: str
    pid: int
    start_time: int
    """Clock ticks since boot: with boot id and pid the process's identity."""
    started_at: int
    """Nanoseconds since the epoch, at execve."""
    held: tuple[str, ...]
    """Of: pidfd, stdin (write end), stdout, stderr (read ends, also read by the log process: only keep, never read),
    terminal (pty master; an exec's is the caller's alone)."""
    timings: tuple[tuple[str, int], ...] = ()
    """(what, microseconds) of each part, in order."""


@message
class Held:
    held: tuple[str, ...]


@message
class Kept:
    about: str = ""
    count: int = 0


@message
class Process:
    """A living process."""

    id: str
    kind: Literal["pause", "container", "exec"]
    pid: int
    start_time: int
    started_at: int
    held: tuple[str, ...] = ()
    log: Log | None = None
    adopted: bool = False
    """A former spawner began it: its exit status will be unknown."""


@message
class Usage:
    """Of getrusage, children waited for included."""

    user_us: int = 0
    system_us: int = 0
    max_rss: int = 0
    """Bytes."""
    minor_faults: int = 0
    major_faults: int = 0


@message
class Exit:
    """How a process ended. On disk, before it is told, for kinds pause and container."""

    id: str
    kind: Literal["pause", "container", "exec"]
    pid: int
    start_time: int
    started_at: int
    finished_at: int
    """Nanoseconds since the epoch, when it was reaped (or its end was seen)."""
    status: int = 0
    """The wait status as the kernel gave it."""
    code: int = 0
    """Exit code as Kubernetes counts it: 128 + signal for a signal; 137 where `lost`."""
    signal: int = 0
    core_dumped: bool = False
    lost: bool = False
    """The spawner that could have known was killed: code and time are not known (ContainerStatusUnknown)."""
    usage: Usage = Usage()


@message
class Living:
    processes: tuple[Process, ...] = ()
    exits: tuple[Exit, ...] = ()
    logs: bool = True


@message
class Exited:
    exit: Exit
    log_complete: bool = True
    """All that the process wrote is in its log file. False only when the log's disk does not take it in time."""


Request = (
    Spawn
    | Signal
    | Subscribe
    | Acknowledge
    | Descriptors
    | Attach
    | CloseStdin
    | Resize
    | ReopenLog
    | DrainLog
    | Keep
    | Fetch
    | Drop
    | Supervise
    | Adopt
    | Replace
    | Rest
    | Leave
)
Answer = Done | Failed | Spawned | Living | Held | Kept
Notice = Welcome | Exited
