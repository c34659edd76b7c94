"""The whole script: the pod's shared context held by a process that sleeps, its containers in their order, and the end.

sh catalog.sh                       make everything, wait, take everything away
sh catalog.sh inside catalog        what runs in a container's new namespaces (the script calls itself)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from podrun.kernel import capabilities
from podrun.kernel.flags import Clone
from podrun.openbox.script import steps
from podrun.openbox.script.words import WORK, continued, heading, here_document, image_directory, name_of, word
from podrun.runtime.model import SandboxConfig
from podrun.spawner.plan import Setns, Sysctl, Unshare
from podrun.spawner.protocol import Spawn

Kind = Literal["init", "sidecar", "container", "ephemeral"]
_TITLES: dict[Kind, str] = {"init": "init container", "sidecar": "sidecar", "container": "container"}
_TITLES["ephemeral"] = "debug container"


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume for the script: made below $WORK/volumes, or a path of the machine's own (hostPath)."""

    name: str
    kind: str
    path: str
    """For the script: `$WORK/volumes/NAME`, or the host's path."""
    files: tuple[tuple[str, str], ...] = ()
    """(path in it, content) of what is small and no secret."""
    size: int | None = None
    """Bytes of one in memory."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """A container: the request by which podrun starts it, made with the script's paths in place of its own."""

    name: str
    kind: Kind
    image: str
    request: Spawn
    sources: steps.Sources
    limits: tuple[tuple[str, str], ...] = ()
    """(cgroup file, value), of v1 and of v2"""


@dataclass(frozen=True, slots=True)
class PodPlan:
    """Everything that the script says."""

    config: SandboxConfig
    pause: Spawn
    address: str
    containers: tuple[ContainerPlan, ...]
    volumes: tuple[Volume, ...]
    files: tuple[tuple[str, str], ...]
    """(name below /etc, content): hosts, hostname, resolv.conf."""
    cgroup_trees: tuple[str, ...] = field(default=("cpu", "memory", "pids"))
    """v1's trees that a container sees."""


def script(pod: PodPlan) -> str:
    """The text. Raises steps.Untranslatable."""
    lines = [*_head(pod), *_tools(pod)]
    lines += _pause_inside(pod)
    for container in pod.containers:
        lines += _container_inside(pod, container)
    lines += _dispatch()
    lines += _files(pod)
    lines += _make_sandbox(pod)
    for container in pod.containers:
        lines += _start(pod, container)
    lines += _end(pod)
    return "\n".join(lines) + "\n"


def _head(pod: PodPlan) -> list[str]:
    config = pod.config
    images = sorted(
        {container.image for container in pod.containers} | {v.note for v in pod.volumes if v.kind == "image"}
    )
    exports = [f"#     podrun images export {image} images/{image_directory(image)}" for image in images]
    return [
        "#!/bin/sh",
        "# shellcheck disable=SC2016",
        f'# The pod "{config.name}" of namespace {config.namespace}, built by hand: the namespaces, mounts, address',
        "# and processes that podrun makes, with commands that every Linux machine has.",
        "#",
        "# It needs root, util-linux (unshare, nsenter, mount, setpriv), iproute2 (ip), coreutils, and in a directory",
        "# IMAGES the root file systems of its images, which come from a machine with podrun:",
        *exports,
        "# Run it:  sudo IMAGES=images sh ./pod.sh     and end the pod with Ctrl-C: all that was made goes again.",
        "#",
        "# What it leaves out, since no command does it: the seccomp filter, and what podrun does afterwards: probes,",
        "# restarts, logs in files that rotate, Services and cluster DNS.",
        "set -eu",
        f"POD={word(config.name)}",
        "WORK=${WORK:-/tmp/pod-$POD}",
        'IMAGES=$(realpath "${IMAGES:-images}")',
        f"ADDRESS=${{ADDRESS:-{pod.address}}}",
        f"LINK=${{LINK:-vhand{name_of(config.pod_uid)[:8]}}}      # the machine's end of the pod's cable",
        f"CGROUP=${{CGROUP:-pod-by-hand/{config.name}}}",
        "export WORK IMAGES ADDRESS LINK CGROUP",
        "",
    ]


def _tools(pod: PodPlan) -> list[str]:
    names = ("", "/unified", *(f"/{tree}" for tree in pod.cgroup_trees or ("cpu", "memory", "pids")))
    shown = " ".join(pod.cgroup_trees or ("cpu", "memory", "pids"))
    return [
        heading("small tools"),
        "",
        "# the cgroup trees: v2's one, or on machines with v1 those of its controllers, and v2's beside them",
        "trees=",
        f"for tree in {' '.join(f'/sys/fs/cgroup{name}' for name in names)}; do",
        '    if [ -e "$tree/cgroup.procs" ]; then trees="$trees $tree"; fi',
        "done",
        "",
        "# the process joins (and so makes) a group of this name",
        "enter_cgroup() {",
        "    for tree in $trees; do",
        '        if [ -e "$tree/cgroup.procs" ]; then',
        '            mkdir -p "$tree/$CGROUP/$1"',
        '            echo 0 > "$tree/$CGROUP/$1/cgroup.procs"      # 0: whoever writes it',
        "        fi",
        "    done",
        "}",
        "",
        "# limit GROUP FILE VALUE: in whichever tree the file is (v1 and v2 have different ones)",
        "limit() {",
        "    for tree in $trees; do",
        '        if [ -e "$tree/$CGROUP/$1/$2" ]; then echo "$3" > "$tree/$CGROUP/$1/$2"; fi',
        "    done",
        "}",
        "",
        "# bind SOURCE TARGET: the same file or directory at a second place, which is made if it is missing",
        "bind() {",
        '    if [ -d "$1" ]; then mkdir -p "$2"; else mkdir -p "$(dirname "$2")"; [ -e "$2" ] || : > "$2"; fi',
        '    mount --bind "$1" "$2"',
        "}",
        "",
        "hide() {",
        '    if [ -d "$1" ]; then mount -t tmpfs -o ro,size=0k,mode=755 tmpfs "$1"',
        '    elif [ -e "$1" ]; then mount --bind /dev/null "$1"; fi',
        "}",
        "",
        "protect() {",
        '    if [ -e "$1" ]; then mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; fi',
        "}",
        "",
        "cgroup_view() {",
        "    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then",
        '        mount -t cgroup2 -o ro,nosuid,nodev,noexec cgroup "$root/sys/fs/cgroup"',
        "        return",
        "    fi",
        '    mount -t tmpfs -o nosuid,nodev,noexec,mode=755,size=64k tmpfs "$root/sys/fs/cgroup"',
        f"    for tree in {shown}; do",
        '        mkdir "$root/sys/fs/cgroup/$tree"',
        '        mount -t cgroup -o "ro,nosuid,nodev,noexec,$tree" cgroup "$root/sys/fs/cgroup/$tree"',
        "    done",
        "}",
        "",
    ]


def _pause_inside(pod: PodPlan) -> list[str]:
    config = pod.config
    lines = [
        heading("pause: holds what the containers share, and does nothing else"),
        "",
        "inside_pause() {",
        "    enter_cgroup pause",
        "    mount --make-rprivate /",
    ]
    if not config.host_network:
        lines += [f"    hostname {word(config.hostname)}", "    ip link set lo up"]
    for step in pod.pause.plan:
        if isinstance(step, Sysctl):
            lines.append(f"    echo {word(step.value)} > /proc/sys/{step.name.replace('.', '/')}")
    lines += [
        '    : > "$WORK/pause.ready"',
        "    exec sleep infinity",
        "}",
        "",
    ]
    return lines


def _kinds(request: Spawn, step_type: type[Setns] | type[Unshare]) -> Clone:
    kinds = Clone(0)
    for step in request.plan:
        if isinstance(step, step_type):
            kinds |= step.kinds
    return kinds


_OPTIONS = {
    Clone.NET: "--net",
    Clone.IPC: "--ipc",
    Clone.UTS: "--uts",
    Clone.MNT: "--mount",
    Clone.CGROUP: "--cgroup",
    Clone.PID: "--pid",
}


def _options(kinds: Clone) -> str:
    return " ".join(option for kind, option in _OPTIONS.items() if kind in kinds)


def _container_inside(pod: PodPlan, container: ContainerPlan) -> list[str]:
    request = container.request
    body = steps.commands(request.plan, container.sources)
    return [
        heading(f"{_TITLES[container.kind]} {container.name}: {container.image}"),
        "",
        f"inside_{name_of(container.name)}() {{",
        f"    root={word(f'{WORK}/{container.name}/root')}",
        "    mount --make-rprivate /      # nothing that is mounted from here on is seen outside",
        *(f"    {line}".rstrip() for line in body),
        "",
        *(f"    {line}" for line in _become(request)),
        "}",
        "",
    ]


def _become(request: Spawn) -> list[str]:
    """The last commands: bounds, root, user, program. Each replaces itself by the next: one process in the end."""
    user, granted = request.user, request.capabilities
    lines = [
        "# podrun ends with pivot_root, so that nothing of the machine can be reached any more, the user, the seccomp",
        "# filter and the capabilities. chroot hides the machine as well from a program that plays by the rules.",
    ]
    bounds = ["--inh-caps=-all"]
    if granted is not None:
        names = capabilities.names(granted.bounding)
        needed = {"SYS_CHROOT", "SETUID", "SETGID"} - set(names)
        bounds.append(f"--bounding-set=-all{''.join(f',+{name.lower()}' for name in (*names, *sorted(needed)))}")
        if needed:
            lines.append(f"# ({', '.join(sorted(needed))} are there for chroot; in podrun's container they are not)")
    if request.no_new_privs:
        bounds.append("--no-new-privs")
    command = " ".join(word(part) for part in request.argv)
    lines += [*continued("exec env -i", map(word, request.env), " \\")]
    lines += [f"    setpriv {' '.join(bounds)} \\"]
    if request.cwd in ("", "/"):
        groups = ",".join(map(str, user.groups)) or str(user.gid)
        lines.append(f'    chroot --userspec={user.uid}:{user.gid} --groups={groups} "$root" \\')
    else:
        lines.append(f'    unshare --root="$root" --wd={word(request.cwd)} --setgid={user.gid} --setuid={user.uid} \\')
    return [*lines, f"    {command}"]


def _dispatch() -> list[str]:
    return [
        heading("the script calls itself in the new namespaces: `inside NAME`"),
        "",
        'if [ "${1:-}" = inside ]; then',
        '    "inside_$2"',
        "    exit",
        "fi",
        "",
    ]


def _files(pod: PodPlan) -> list[str]:
    lines = [
        heading("what is made on the machine, and taken away at the end"),
        "",
        "# on v2 limits are there where the groups above hand their controllers down",
        'for group in /sys/fs/cgroup "/sys/fs/cgroup/${CGROUP%/*}" "/sys/fs/cgroup/$CGROUP"; do',
        "    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then",
        '        mkdir -p "$group"',
        '        echo "+cpu +memory +pids" > "$group/cgroup.subtree_control" || :',
        "    fi",
        "done",
        "",
        "end() {",
        "    trap - EXIT INT TERM",
        "    # all that is in its groups ends, forks of forks too",
        "    for tree in $trees; do",
        '        for group in "$tree/$CGROUP"/*/; do',
        '            [ -e "$group/cgroup.procs" ] || continue',
        '            while read -r pid; do kill -9 "$pid" 2>/dev/null || :; done < "$group/cgroup.procs"',
        "        done",
        "    done",
        "    wait",
        '    ip link delete "$LINK" 2>/dev/null || :',
        '    umount -l "$WORK/shm" 2>/dev/null || :',
        '    for volume in "$WORK"/volumes/*; do umount -l "$volume" 2>/dev/null || :; done',
        "    for tree in $trees; do",
        "        # a group goes when the last process in it has gone, which takes a moment",
        "        for _ in 1 2 3 4 5 6 7 8 9; do",
        '            [ -d "$tree/$CGROUP" ] || break',
        '            find "$tree/$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.2',
        "        done",
        '        rmdir "$(dirname "$tree/$CGROUP")" 2>/dev/null || :',
        "    done",
        '    rm -rf --one-file-system "$WORK"',
        "}",
        "trap end EXIT",
        "trap 'exit 130' INT TERM",
        "",
        'mkdir -p "$WORK/etc" "$WORK/shm" "$WORK/volumes"',
    ]
    for container in pod.containers:
        place = word(f"{WORK}/{container.name}")[:-1]
        lines.append(f'mkdir -p {place}/root" {place}/upper" {place}/work"')
        lines.append(f': > {place}/termination-log"')
    lines += ["", "# the pod's three files in /etc"]
    for name, text in pod.files:
        lines += here_document(f"{WORK}/etc/{name}", text)
    for volume in pod.volumes:
        lines += ["", *_volume(volume)]
    return [*lines, ""]


def _volume(volume: Volume) -> list[str]:
    lines = [f"# volume {volume.name} ({volume.kind}){f': {volume.note}' if volume.note else ''}"]
    if not volume.path.startswith(WORK):
        return [*lines, f"[ -e {word(volume.path)} ] || mkdir -p {word(volume.path)}"]
    lines += [f"mkdir -p {word(volume.path)}", f"chmod 777 {word(volume.path)}"]
    if volume.size is not None:
        size = f",size={volume.size}" if volume.size else ""
        lines.append(f"mount -t tmpfs -o mode=1777{size} tmpfs {word(volume.path)}")
    for name, text in volume.files:
        if "/" in name:
            lines.append(f"mkdir -p {word(f'{volume.path}/' + name.rpartition('/')[0])}")
        lines += here_document(f"{volume.path}/{name}", text)
    return lines


def _make_sandbox(pod: PodPlan) -> list[str]:
    config = pod.config
    kinds = _kinds(pod.pause, Unshare)
    shared = config.share_process_namespace and not config.host_pid
    lines = [heading("the sandbox: namespaces, held by a process that sleeps"), ""]
    if not config.host_ipc:
        lines += ["# /dev/shm of the pod (podrun mounts it in pause's own mount namespace)"]
        lines += [f'mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size={config.shm_size} shm "$WORK/shm"']
    options = _options(kinds) + (" --pid --fork --kill-child" if shared else "")
    lines += [f'unshare {options} -- sh -eu "$0" inside pause &', "pause=$!"]
    lines += ['until [ -e "$WORK/pause.ready" ]; do kill -0 "$pause"; sleep 0.05; done']
    if shared:
        lines += ["# the process that sleeps is the first one of the pod's PID namespace, and unshare's child"]
        lines += ['pause=$(cat "/proc/$pause/task/$pause/children")', "pause=${pause%% *}"]
    if config.host_network:
        lines += ["", "# hostNetwork: the containers stay in the machine's own network and have its name"]
        return [*lines, ""]
    lines += [
        "",
        "# a cable: eth0 in the pod, the other end on the machine; no bridge and no ARP: both neighbours are known",
        "# beforehand, and every packet crosses the machine's routing",
        'ip link add "$LINK" address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns "$pause"',
        'in_pod() { nsenter --target="$pause" --net -- "$@"; }',
        f"in_pod ip link set eth0 address {_mac(pod.address)} up",
        'in_pod ip address add "$ADDRESS/32" dev eth0',
        "in_pod ip neighbour add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent",
        "in_pod ip route add 169.254.1.1 dev eth0 scope link proto static",
        "in_pod ip route add default via 169.254.1.1 dev eth0 proto static",
        'echo 1 > "/proc/sys/net/ipv4/conf/$LINK/rp_filter"      # the pod may speak with its own address only',
        'ip link set "$LINK" up',
        f'ip neighbour add "$ADDRESS" lladdr {_mac(pod.address)} dev "$LINK" nud permanent',
        'ip route add "$ADDRESS/32" dev "$LINK"',
        "# To let it out into the world:  sysctl -w net.ipv4.ip_forward=1",
        "#   nft 'add table ip hand; add chain ip hand out { type nat hook postrouting priority srcnat; }'",
        f"#   nft 'add rule ip hand out ip saddr {pod.address} masquerade'",
        "",
    ]
    return lines


def _mac(address: str) -> str:
    """podrun makes a pod's hardware address of its IP."""
    return "0a:58:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def _start(pod: PodPlan, container: ContainerPlan) -> list[str]:
    request, config = container.request, pod.config
    name, function = word(container.name), name_of(container.name)
    joined = _options(_kinds(request, Setns)) + (" --pid" if request.join_pid is not None else "")
    made = _options(_kinds(request, Unshare))
    fork = " --pid --fork --kill-child" if request.new_pid else ""
    lines = [heading(f"start {container.name}"), "", f"start_{function}() {{", f"    enter_cgroup {name}"]
    lines += [f"    limit {name} {file} {word(value)}" for file, value in container.limits]
    if request.oom_score_adj is not None:
        lines.append(f"    echo {request.oom_score_adj} > /proc/self/oom_score_adj 2>/dev/null || :")
    inner = f'unshare {made}{fork} -- sh -eu "$0" inside {function}'
    through = f'nsenter --target="$pause" {joined} -- ' if joined else ""
    lines += [f"    exec {through}{inner}", "}", ""]
    log = word(f"{WORK}/{container.name}")[:-1] + '/log"'
    if container.kind == "init":
        lines += [f"(start_{function}) < /dev/null      # the next one waits until it has ended with exit code 0"]
    else:
        lines.append(f"(start_{function}) < /dev/null > {log} 2>&1 &")
    if container.kind == "sidecar":
        lines.append("# a sidecar: it goes on while the next ones start, and ends after them")
    if config.host_pid:
        lines.append("# hostPID: it sees the machine's processes")
    return [*lines, ""]


def _end(pod: PodPlan) -> list[str]:
    where = "the machine's address" if pod.config.host_network else "$ADDRESS"
    return [
        heading("it runs"),
        "",
        f'echo "pod $POD runs at {where}; its containers write to $WORK/NAME/log; Ctrl-C ends it"',
        ': > "$WORK/ready"',
        "wait",
    ]
