"""A Debian machine of our own to test in: systemd as PID 1, pure cgroup v2, its own kernel.

Why: the machine that runs the tests may have neither systemd nor cgroup v2, and a service restart, a scope or a
reboot can only be tested where there is a real one. The guest is built from Debian's packages and emulated by
qemu (with KVM where it really works), so nothing but those packages is needed.

What happens, in order:

    base      mmdebstrap makes a root directory; cached by suite and package list
    prepared  a copy of it with this checkout at /srv/podrun, installed by `scripts/quickstart --install-only`
              in a chroot, at the host's speed (emulation is 10 to 25 times slower); cached by what goes in
    disk      mke2fs turns the directory into a file system image; every run gets a throw-away snapshot of it
    run       qemu boots it; a unit in the guest executes one job and says its exit status and output over two
              virtio ports, then powers off

A guest that says no exit status (a panic, a hang) is a failure, whatever qemu's own exit status is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("PODRUN_TEST_CACHE", "/var/cache/podrun-test")) / "vm"
GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOST_PACKAGES = ("qemu-system-x86", "qemu-utils", "mmdebstrap", "e2fsprogs")

GUEST_PACKAGES = (
    "systemd-sysv", "udev", "dbus", "kmod", "procps", "iproute2", "nftables", "sudo", "ca-certificates", "curl",
    "python3", "python3-venv", "busybox-static", "libseccomp2", "linux-image-cloud-amd64",
)  # fmt: skip

EXTRAS = "test,catalog"
"""What the guest's virtual environment holds beside podrun itself: quickstart looks for it by this name."""

JOB_UNIT = """\
[Unit]
Description=the test's job
After=basic.target network.target

[Service]
Type=simple
Delegate=yes
ExecStart=/usr/local/sbin/vm-job

[Install]
WantedBy=multi-user.target
"""

JOB_RUNNER = """\
#!/bin/bash
# Runs the job that the host handed over and says what became of it.
modprobe qemu_fw_cfg
udevadm settle
out=/dev/virtio-ports/vm.out rc=/dev/virtio-ports/vm.rc
until [ -e $out ] && [ -e $rc ]; do udevadm settle -t 1 || true; done
cp /sys/firmware/qemu_fw_cfg/by_name/opt/vm/job/raw /run/vm-job && chmod 700 /run/vm-job
export HOME=/root LANG=C.UTF-8 PODRUN_EXTRAS=%s
cd /srv/podrun && bash /run/vm-job >$out 2>&1
echo "RC=$?" >$rc
sync
systemctl --no-block poweroff
"""


@dataclass(frozen=True, slots=True)
class Disk:
    """A bootable guest: the kernel to start and the file system image with its root."""

    kernel: Path
    image: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job left: its exit status (None when the guest never said one), its output, the guest's console."""

    status: int | None
    output: str
    console: str

    def explain(self) -> str:
        """The output, and the end of the console where the guest did not get as far as an exit status."""
        if self.status is not None:
            return self.output
        return f"{self.output}\n-- the guest said no exit status; its console ends with --\n{self.console[-4000:]}"


def missing_host_packages() -> list[str]:
    """Debian packages the host lacks to build and boot a guest."""
    programs = dict(zip(HOST_PACKAGES, ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mke2fs"), strict=True))
    return [package for package, program in programs.items() if shutil.which(program) is None]


def build(suite: str = "bookworm") -> Disk:
    """The guest of a Debian suite with this checkout installed, built where the cache has none that fits."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # two checkouts may be tested at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(suite)


def _build(suite: str) -> Disk:
    base = _base(suite)
    archive = _checkout()
    key = _digest([base.name, archive])
    directory = CACHE / f"disk-{suite}-{key}"
    if not (directory / "done").exists():
        _drop_older(f"disk-{suite}-", keep=directory)
        directory.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-disk-") as scratch:
            root = Path(scratch, "root")
            subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
            _prepare(root, archive)
            kernel = next(root.glob("boot/vmlinuz-*"))
            shutil.copy(kernel, directory / "kernel")
            subprocess.run(
                ["mke2fs", "-q", "-t", "ext4", "-F", "-m", "0", "-E", "root_owner=0:0", "-d", str(root)]
                + [str(directory / "root.ext4"), "6G"],
                check=True,
            )
        (directory / "done").touch()
    return Disk(directory / "kernel", directory / "root.ext4")


def run(disk: Disk, job: str, *, seconds: int = 600, memory_mib: int = 2048, reboots: bool = False) -> Outcome:
    """Boot a snapshot of the disk, execute the job (a bash script, in /srv/podrun, as root), power off.

    With `reboots` a reset of the guest is one, and the job is executed at each boot; else it is the guest's end.
    """
    with tempfile.TemporaryDirectory(prefix="podrun-vm-") as scratch:
        directory = Path(scratch)
        script = directory / "job"
        script.write_text(textwrap.dedent(job))
        command = [
            "qemu-system-x86_64", "-machine", "q35", *accelerator(disk.kernel), "-m", str(memory_mib), "-smp", "2",
            "-nodefaults", "-no-user-config", *(() if reboots else ("-no-reboot",)), "-display", "none",
            "-kernel", str(disk.kernel), "-append", "root=/dev/nvme0n1 rw console=ttyS0 panic=-1 net.ifnames=0",
            "-drive", f"file={disk.image},if=none,id=root,format=raw,snapshot=on,cache=unsafe",
            "-device", "nvme,drive=root,serial=root",
            "-serial", f"file:{directory / 'console'}",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"file,id=o,path={directory / 'out'}", "-device", "virtserialport,chardev=o,name=vm.out",
            "-chardev", f"file,id=r,path={directory / 'rc'}", "-device", "virtserialport,chardev=r,name=vm.rc",
            "-fw_cfg", f"name=opt/vm/job,file={script}",
            "-netdev", "user,id=n0,restrict=on", "-device", "virtio-net-pci,netdev=n0",
        ]  # fmt: skip
        subprocess.run(
            ["timeout", "-k", "5", str(seconds), *command],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(directory / "stderr").open("wb"),
            env={**os.environ, "TMPDIR": scratch},
        )
        said = _read(directory / "rc")
        status = next((int(line[3:]) for line in said.splitlines() if line.startswith("RC=")), None)
        console = _read(directory / "console") + _read(directory / "stderr")
        return Outcome(status, _read(directory / "out"), console)


def accelerator(kernel: Path) -> tuple[str, ...]:
    """qemu's options for KVM where a guest kernel really prints under it, else for emulation.

    That /dev/kvm opens proves nothing: under some hypervisors a virtual CPU is made and never runs.
    """
    emulated = ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off,svm=off")
    flags = Path("/proc/cpuinfo").read_text()
    if not os.access("/dev/kvm", os.W_OK) or not (" vmx" in flags or " svm" in flags):
        return emulated
    native = ("-accel", "kvm", "-cpu", "host")
    probe = subprocess.run(
        ["timeout", "10", "qemu-system-x86_64", *native, "-m", "256", "-nodefaults", "-no-reboot", "-display", "none"]
        + ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1", "-serial", "stdio"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return native if b"Linux version" in probe.stdout else emulated


def _base(suite: str) -> Path:
    key = _digest([suite, *GUEST_PACKAGES])
    root = CACHE / f"base-{suite}-{key}"
    if not root.exists():
        _drop_older(f"base-{suite}-", keep=root)
        mirror = _mirror()
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-base-") as scratch:
            made = Path(scratch, "root")
            subprocess.run(
                ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory"]
                + ['--aptopt=APT::Install-Recommends "false"', "--dpkgopt=path-exclude=/usr/share/man/*"]
                + ["--dpkgopt=path-exclude=/usr/share/doc/*", "--include=" + ",".join(GUEST_PACKAGES), suite, str(made)]
                + [f"deb {mirror}/debian {suite} main", f"deb {mirror}/debian {suite}-updates main"]
                + [f"deb {mirror}/debian-security {suite}-security main"],
                check=True,
            )
            made.rename(root)
    return root


def _prepare(root: Path, archive: bytes) -> None:
    """Put the checkout and the job's unit into the root, and install what quickstart would, at the host's speed."""
    project = root / "srv/podrun"
    project.mkdir(parents=True)
    subprocess.run(["tar", "-xf", "-", "-C", project], input=archive, check=True)
    (root / "etc/systemd/system/vm-job.service").write_text(JOB_UNIT)
    runner = root / "usr/local/sbin/vm-job"
    runner.write_text(JOB_RUNNER % EXTRAS)
    runner.chmod(0o755)
    (root / "etc/hostname").write_text("vm\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 vm\n")
    (root / "etc/machine-id").write_text("")
    (root / "etc/systemd/network").mkdir(parents=True, exist_ok=True)
    (root / "etc/systemd/network/eth0.network").write_text(
        "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n"
    )
    enable = ["systemctl", f"--root={root}", "enable", "vm-job.service", "systemd-networkd.service"]
    subprocess.run(enable, check=True, capture_output=True)
    resolver = root / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    shutil.copy("/etc/resolv.conf", resolver)
    _install(root)
    resolver.write_text("nameserver 10.0.2.3\n")


def _install(root: Path) -> None:
    """Install as quickstart does and build the images, inside the root, from wheels fetched by the host's own pip."""
    wheels = CACHE / "wheels"
    wheels.mkdir(exist_ok=True)
    version = next((root / "usr/lib").glob("python3.[0-9]*")).name.removeprefix("python")
    pip = [str(REPOSITORY / ".venv/bin/python"), "-m", "pip"]
    subprocess.run(
        [*pip, "download", "--quiet", "--dest", str(wheels), "--only-binary=:all:", "--python-version", version]
        + ["--find-links", str(wheels), "hatchling", "editables", *_requirements()],
        check=True,
    )
    inside = textwrap.dedent(f"""\
        mount -t proc proc /proc && mount --bind /wheels /mnt
        cd /srv/podrun && PIP_NO_INDEX=1 PIP_FIND_LINKS=/mnt PODRUN_EXTRAS={EXTRAS} scripts/quickstart --install-only
        .venv/bin/podrun images build images
    """)
    (root / "wheels").mkdir()
    subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "bash", "-ec"]
        + [f"mount --bind {wheels} {root}/wheels && exec chroot {root} /bin/bash -ec '{inside}'"],
        check=True,
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
        },
    )
    (root / "wheels").rmdir()


def _requirements() -> list[str]:
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(each for name in EXTRAS.split(",") for each in optional[name])]


def _checkout() -> bytes:
    """The files git knows in this checkout, as they are now, as a tar archive that is the same for the same files."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    ).stdout
    names = [name for name in listed.split(b"\0") if name and (REPOSITORY / os.fsdecode(name)).exists()]
    return subprocess.run(
        ["tar", "-cf", "-", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--null", "-T", "-"],
        cwd=REPOSITORY,
        input=b"\0".join(names),
        check=True,
        capture_output=True,
    ).stdout


def _mirror() -> str:
    """The Debian mirror this host itself uses, so that nothing else need be reachable."""
    for file in (*Path("/etc/apt").glob("*.list"), *Path("/etc/apt/sources.list.d").glob("*")):
        for word in file.read_text().split():
            if word.startswith("http") and word.rstrip("/").endswith("/debian"):
                return word.rstrip("/").removesuffix("/debian")
    return "http://deb.debian.org"


def _drop_older(prefix: str, *, keep: Path) -> None:
    for old in CACHE.glob(prefix + "*"):
        if old != keep:
            shutil.rmtree(old)


def _digest(parts: Iterable[str | bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
        whole.update(b"\0")
    return whole.hexdigest()[:16]


def _read(file: Path) -> str:
    return file.read_bytes().decode("utf-8", "replace") if file.exists() else ""
