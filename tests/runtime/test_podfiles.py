"""The pod's files of /etc, byte for byte (reference: recordings/hostname-and-hosts.json)."""

from dataclasses import replace
from pathlib import Path

import pytest

from podrun.runtime import podfiles
from podrun.runtime.model import Dns, SandboxConfig

LOCAL = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def _config(**fields: object) -> SandboxConfig:
    return SandboxConfig("uid", "ns", "p", 0, "h1", Path("/logs"), "", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("why", "config", "expected"),
    [
        ("a plain pod", _config(), f"# Kubernetes-managed hosts file.\n{LOCAL}10.244.0.5\th1\n"),
        (
            "a pod with a subdomain and aliases",
            _config(domain="sub.ns.svc.cluster.local", host_aliases=(("192.0.2.1", ("one", "two")),)),
            f"# Kubernetes-managed hosts file.\n{LOCAL}10.244.0.5\th1.sub.ns.svc.cluster.local\th1\n"
            "\n# Entries added by HostAliases.\n192.0.2.1\tone\ttwo\n",
        ),
        (
            "a pod whose hostname is its whole name still has the short one beside it",
            replace(_config(domain="sub.ns.svc.cluster.local"), hostname="h1.sub.ns.svc.cluster.local"),
            f"# Kubernetes-managed hosts file.\n{LOCAL}10.244.0.5\th1.sub.ns.svc.cluster.local\th1\n",
        ),
        (
            "a pod on the host's network keeps the host's file",
            _config(host_network=True),
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n",
        ),
    ],
)
def test_hosts(why: str, config: SandboxConfig, expected: str) -> None:
    assert podfiles.hosts(config, ["10.244.0.5"], "127.0.0.1 localhost\n") == expected, why


def test_resolv_conf() -> None:
    dns = Dns(("10.96.0.10",), ("ns.svc.cluster.local", "svc.cluster.local"), ("ndots:5",))
    expected = "search ns.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
    assert podfiles.resolv_conf(dns) == expected
