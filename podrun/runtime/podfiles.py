"""The three files of a pod's /etc, byte for byte as the kubelet and containerd write them."""

from __future__ import annotations

from collections.abc import Sequence

from podrun.network.resolver import Resolver
from podrun.runtime.model import Dns, SandboxConfig

_MANAGED = "# Kubernetes-managed hosts file.\n"
_MANAGED_HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


def hosts(config: SandboxConfig, addresses: Sequence[str], host_file: str) -> str:
    """/etc/hosts. `host_file` is the host's own, which a pod on the host's network keeps."""
    if config.host_network:
        return _MANAGED_HOST_NETWORK + host_file + _aliases(config)
    names = config.hostname
    if config.domain:  # where the hostname is the whole name already (setHostnameAsFQDN), the short one is in it
        short = config.hostname.removesuffix(f".{config.domain}")
        names = f"{short}.{config.domain}\t{short}"
    return _MANAGED + _LOCAL + "".join(f"{address}\t{names}\n" for address in addresses) + _aliases(config)


def _aliases(config: SandboxConfig) -> str:
    if not config.host_aliases:
        return ""
    lines = [f"{address}\t" + "\t".join(names) + "\n" for address, names in config.host_aliases]
    return "\n# Entries added by HostAliases.\n" + "".join(lines)


def hostname(config: SandboxConfig) -> str:
    """/etc/hostname."""
    return f"{config.hostname}\n"


def resolv_conf(dns: Dns) -> str:
    """/etc/resolv.conf."""
    return Resolver(dns.nameservers, dns.searches, dns.options).text()
