"""The peers, unpacked from their Debian packages into a cache: nothing of them is installed on the host.

crun starts bare containers, conmon pumps a container's log, podman plays a Kubernetes manifest. Each runs in a mount
and network namespace of its own, with its own storage.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(os.environ.get("PODRUN_TEST_CACHE", "/var/cache/podrun-test")) / "peers"
PACKAGES = (
    "podman", "conmon", "crun", "golang-github-containers-common", "netavark", "aardvark-dns", "catatonit", "iptables",
    "libgpgme11", "libassuan0", "libsubid4", "libyajl2", "libxtables12", "libip4tc2", "libip6tc2", "libnfnetlink0",
    "libnetfilter-conntrack3", "busybox-static",
)  # fmt: skip
APPLETS = ("sh", "sleep", "true", "cat", "head", "dd", "yes")


def unpack() -> Path:
    """The directory where the peers' packages lie unpacked; they are downloaded where it is missing.

    Raises CalledProcessError when the packages cannot be had.
    """
    root = CACHE / "root"
    if not (CACHE / "done").exists():
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            os.chmod(scratch, 0o755)
            subprocess.run(
                ["apt-get", "download", "-qq", *PACKAGES], cwd=scratch, check=True, stderr=subprocess.DEVNULL
            )
            for package in sorted(Path(scratch).glob("*.deb")):
                subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
        for name in ("iptables", "ip6tables", "iptables-save", "iptables-restore", "ip6tables-restore"):
            (root / "usr/sbin" / name).unlink(missing_ok=True)
            (root / "usr/sbin" / name).symlink_to("xtables-nft-multi")
        _rootfs(root)
        (CACHE / "done").touch()
    return root


def environment(root: Path) -> dict[str, str]:
    """The environment in which the unpacked programs find each other."""
    libraries = root / "usr/lib" / f"{os.uname().machine}-linux-gnu"
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(libraries),
        "XTABLES_LIBDIR": str(libraries / "xtables"),
        "PATH": f"{root}/usr/sbin:{root}/usr/bin:{root}/bin:" + os.environ["PATH"],
        "CONTAINERS_CONF": str(_podman_configuration(root)),
    }


def crun_bare_containers(root: Path, times: int) -> list[float]:
    """Seconds of each of `times` runs of `crun run --detach` of a container with namespaces of its own that sleeps."""
    with _bundle(root, ["/bin/sleep", "1000"]) as bundle:
        script = bundle / "measure"
        script.write_text(_CRUN_SCRIPT)
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-eu", str(script), str(bundle), str(times)],
            check=True,
            env=environment(root),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    return [int(line) / 1e6 for line in done.stdout.split()]


_CRUN_SCRIPT = """\
bundle=$1 times=$2
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
for i in $(seq $times); do
  begin=${EPOCHREALTIME/./}
  crun --root $bundle/state run --detach --bundle $bundle bench-$$-$i >/dev/null 2>&1
  end=${EPOCHREALTIME/./}
  echo $((end - begin))
  crun --root $bundle/state delete --force bench-$$-$i
done
"""


def conmon_log_throughput(root: Path, text: Path) -> float:
    """Bytes per second from a container that copies the file `text` to its stdout into conmon's CRI log file."""
    with _bundle(root, ["/bin/cat", "/text"], binds=[(text, "/text")]) as bundle:
        name = f"bench-{os.getpid()}-{time.monotonic_ns()}"
        exits = bundle / "exits"
        exits.mkdir()
        conmon = [
            str(root / "usr/bin/conmon"), "--runtime", str(root / "usr/bin/crun"), "--cid", name, "--cuuid", name,
            "--bundle", str(bundle), "--container-pidfile", str(bundle / "pid"), "--exit-dir", str(exits),
            "--socket-dir-path", str(exits),
            "--log-path", f"k8s-file:{bundle / 'log'}", "--log-level", "error", "--sync",
            "--runtime-arg=--root", f"--runtime-arg={bundle / 'state'}",
        ]  # fmt: skip
        crun = [str(root / "usr/bin/crun"), "--root", str(bundle / "state")]
        if _cgroups_hybrid():
            conmon, crun = _without_empty_v2(conmon), _without_empty_v2(crun)
        env = {**environment(root), "_OCI_STARTPIPE": "", "_OCI_SYNCPIPE": ""}
        env = {key: value for key, value in env.items() if value}
        monitor = subprocess.Popen(conmon, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            _until_created(crun, name, environment(root))
            begin = time.perf_counter()
            subprocess.run([*crun, "start", name], check=True, env=environment(root))
            monitor.wait(timeout=120)
            took = time.perf_counter() - begin
        finally:
            monitor.kill()
            subprocess.run([*crun, "delete", "--force", name], check=False, env=environment(root), capture_output=True)
        written = (bundle / "log").stat().st_size
        if written < text.stat().st_size:
            raise RuntimeError(f"conmon wrote {written} bytes of {text.stat().st_size}")
        return text.stat().st_size / took


def podman_play(root: Path, times: int) -> list[float]:
    """Seconds of each of `times` runs of `podman kube play` of a pod with one busybox container."""
    with tempfile.TemporaryDirectory(prefix="podrun-bench-") as scratch:
        script = Path(scratch) / "measure"
        script.write_text(_PODMAN_SCRIPT)
        done = subprocess.run(
            ["unshare", "--mount", "--net", "bash", "-eu", str(script), scratch, str(root), str(times)],
            check=True,
            env=environment(root),
            capture_output=True,
            text=True,
        )
    return [int(line) / 1e6 for line in done.stdout.split()]


_PODMAN_SCRIPT = """\
scratch=$1 root=$2 times=$3
ip link set lo up
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay etc -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
mkdir -p /etc/containers
echo '{"default":[{"type":"insecureAcceptAnything"}]}' > /etc/containers/policy.json
places="--root $scratch/root --runroot $scratch/run --tmpdir $scratch/tmp"
podman="podman $places --storage-driver overlay --log-level=fatal"
$podman import --change 'ENTRYPOINT ["/catatonit","-P"]' $root/rootfs.tar localhost/pause:1 >/dev/null
$podman import $root/rootfs.tar localhost/busybox:1 >/dev/null
cat > $scratch/pod.yaml <<END
apiVersion: v1
kind: Pod
metadata: {name: bench}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: a, image: "localhost/busybox:1", command: [/bin/sleep, "1000"], imagePullPolicy: Never}
END
for i in $(seq $times); do
  begin=${EPOCHREALTIME/./}
  $podman kube play $scratch/pod.yaml >&2
  end=${EPOCHREALTIME/./}
  echo $((end - begin))
  $podman pod rm --force --time 0 bench >&2
done
for directory in /sys/fs/cgroup/*/libpod_parent /sys/fs/cgroup/libpod_parent; do
  [ -d $directory ] && find $directory -depth -type d -exec rmdir {} + || true
done
umount -l $scratch/root/overlay 2>/dev/null || true
"""


def _podman_configuration(root: Path) -> Path:
    file = root / "containers.conf"
    wanted = f"""\
[containers]
netns = "bridge"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
infra_image = "localhost/pause:1"
conmon_path = ["{root}/usr/bin/conmon"]
helper_binaries_dir = ["{root}/usr/lib/podman", "{root}/usr/libexec/podman"]
[engine.runtimes]
crun = ["{root}/usr/bin/crun"]
[network]
network_backend = "netavark"
"""
    if not file.exists() or file.read_text() != wanted:
        file.write_text(wanted)
    return file


def _rootfs(root: Path) -> None:
    """A root file system of busybox (and catatonit, for podman's infra container), as a directory and as an archive."""
    made = root / "rootfs"
    (made / "bin").mkdir(parents=True, exist_ok=True)
    for directory in ("proc", "dev", "sys", "tmp", "etc"):
        (made / directory).mkdir(exist_ok=True)
    (made / "bin/busybox").write_bytes((root / "bin/busybox").read_bytes())
    (made / "bin/busybox").chmod(0o755)
    (made / "catatonit").write_bytes((root / "usr/bin/catatonit").read_bytes())
    (made / "catatonit").chmod(0o755)
    for applet in APPLETS:
        (made / "bin" / applet).unlink(missing_ok=True)
        (made / "bin" / applet).symlink_to("busybox")
    subprocess.run(["tar", "-C", str(made), "-cf", str(root / "rootfs.tar"), "."], check=True)


@contextmanager
def _bundle(root: Path, argv: Sequence[str], binds: Sequence[tuple[Path, str]] = ()) -> Iterator[Path]:
    """An OCI bundle with the usual namespaces and mounts, in a directory that goes away."""
    with tempfile.TemporaryDirectory(prefix="podrun-bench-") as scratch:
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "mode=620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "size=64m"]},
            *(
                {"destination": at, "type": "bind", "source": str(source), "options": ["bind", "ro"]}
                for source, at in binds
            ),
        ]
        spec = {
            "ociVersion": "1.0.2",
            "process": {"cwd": "/", "args": list(argv), "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
            "root": {"path": str(root / "rootfs")},
            "mounts": mounts,
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
        }
        (Path(scratch) / "config.json").write_text(json.dumps(spec))
        yield Path(scratch)


def _until_created(crun: Sequence[str], name: str, env: dict[str, str]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        done = subprocess.run([*crun, "state", name], env=env, capture_output=True, text=True, check=False)
        if done.returncode == 0 and json.loads(done.stdout)["status"] == "created":
            return
    raise RuntimeError("conmon did not create its container")


def _cgroups_hybrid() -> bool:
    return Path("/sys/fs/cgroup/unified").is_dir()


def _without_empty_v2(command: Sequence[str]) -> list[str]:
    """crun refuses a v2 hierarchy beside v1's: hide it, in a mount namespace of the command's own."""
    return ["unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/unified; exec "$@"', "sh", *command]
