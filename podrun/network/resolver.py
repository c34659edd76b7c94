"""/etc/resolv.conf: the host's, read; a pod's, written."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

RESOLVED_UPSTREAMS = Path("/run/systemd/resolve/resolv.conf")
"""Where systemd-resolved lists the servers that its own 127.0.0.53 asks."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """What resolv.conf says; the same three lists as the pod's dnsConfig."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def text(self) -> str:
        """In the order in which a container runtime writes it: search, nameserver, options."""
        lines = [f"search {' '.join(self.searches)}"] if self.searches else []
        lines += [f"nameserver {server}" for server in self.nameservers]
        lines += [f"options {' '.join(self.options)}"] if self.options else []
        return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Resolver:
    """Read resolv.conf (resolv.conf(5)): the last search or domain line counts, comments begin with # or ;."""
    nameservers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        match words[0]:
            case "nameserver" if len(words) > 1:
                nameservers.append(words[1])
            case "search" | "domain":
                searches = tuple(words[1:])
            case "options":
                options += [word for word in words[1:] if word not in options]
    return Resolver(tuple(nameservers), searches, tuple(options))


def host_resolver(
    file: Path = Path("/etc/resolv.conf"), upstreams: Path = RESOLVED_UPSTREAMS, *, own_loopback: bool = False
) -> Resolver:
    """The host's servers as a pod can use them.

    A server on the host's loopback is another machine's from inside a pod: where all are such, systemd-resolved's
    upstreams stand in, else those are left out. A pod with the host's network (`own_loopback`) takes the file as it is.
    """
    try:
        resolver = parse(file.read_text())
    except FileNotFoundError:
        return Resolver()
    if own_loopback:
        return resolver
    reachable = _reachable(resolver.nameservers)
    if not reachable and resolver.nameservers and upstreams.exists():
        return _with(parse(upstreams.read_text()), resolver)
    return Resolver(reachable, resolver.searches, resolver.options)


def _with(upstream: Resolver, host: Resolver) -> Resolver:
    # `edns0 trust-ad` are systemd-resolved's own options; the searches are the same in both files.
    return Resolver(_reachable(upstream.nameservers), upstream.searches or host.searches, upstream.options)


def _reachable(servers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(server for server in servers if not _loopback(server))


def _loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False
