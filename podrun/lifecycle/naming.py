"""A pod's hostname, domain, /etc/hosts and /etc/resolv.conf (kubelet_pods.go, pkg/kubelet/network/dns)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podrun.api.pod import Pod

CLUSTER_DOMAIN = "cluster.local"
_LONGEST_HOSTNAME = 63
_MAX_NAMESERVERS, _MAX_SEARCHES, _MAX_SEARCH_CHARACTERS, _LONGEST_SEARCH = 3, 32, 2048, 253


@dataclass(frozen=True, slots=True)
class HostName:
    """What the pod's UTS namespace and its own line in /etc/hosts get."""

    name: str
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Resolver:
    """The content of a resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class TooLong(ValueError):
    """A fully qualified name that is to be the hostname does not fit the kernel's 64 bytes."""


def host_name(pod: Pod, node_name: str) -> HostName:
    """Hostname and domain; hostnameOverride wins over both, hostNetwork means the node's name. Raises TooLong."""
    spec = pod.spec
    if spec.hostname_override is not None:
        return HostName(_cut(spec.hostname_override))
    if spec.host_network:
        return HostName(node_name)
    name = _cut(spec.hostname or pod.metadata.name)
    domain = f"{spec.subdomain}.{pod.metadata.namespace}.svc.{CLUSTER_DOMAIN}" if spec.subdomain else ""
    return HostName(name, domain)


def uts_name(pod: Pod, host: HostName) -> str:
    """What `hostname` prints: with setHostnameAsFQDN the whole name, if it fits. Raises TooLong."""
    if not (pod.spec.set_hostname_as_fqdn and host.domain):
        return host.name
    full = f"{host.name}.{host.domain}"
    if len(full) > 64:
        raise TooLong(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
            f"(64 characters is the max, {len(full)} characters requested)"
        )
    return full


def _cut(name: str) -> str:
    """At most 63 characters, not ending in `-` or `.`."""
    return name if len(name) <= _LONGEST_HOSTNAME else name[:_LONGEST_HOSTNAME].rstrip("-.")


def resolver(pod: Pod, host: Resolver, cluster_dns: Sequence[str]) -> Resolver:
    """resolv.conf for the pod's dnsPolicy and dnsConfig, from the node's and the cluster's.

    Without cluster DNS, ClusterFirst falls back to Default, as a kubelet does that has no --cluster-dns.
    """
    return _within_limits(_wished(pod, host, cluster_dns))


def left_out(pod: Pod, host: Resolver, cluster_dns: Sequence[str]) -> list[str]:
    """What Events (DNSConfigForming) say of the lines that were too long for `resolver`."""
    wished = _wished(pod, host, cluster_dns)
    applied = _within_limits(wished)
    texts = []
    if applied.nameservers != wished.nameservers:
        texts.append(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
            + " ".join(applied.nameservers)
        )
    if applied.searches != wished.searches:
        texts.append(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
            + " ".join(applied.searches)
        )
    return texts


def _wished(pod: Pod, host: Resolver, cluster_dns: Sequence[str]) -> Resolver:
    policy = pod.spec.dns_policy
    if policy == "ClusterFirst" and pod.spec.host_network:
        policy = "Default"
    if policy == "None":
        made = Resolver()
    elif policy in ("ClusterFirst", "ClusterFirstWithHostNet") and cluster_dns:
        namespace = pod.metadata.namespace
        own = (f"{namespace}.svc.{CLUSTER_DOMAIN}", f"svc.{CLUSTER_DOMAIN}", CLUSTER_DOMAIN)
        made = Resolver(tuple(cluster_dns), _unique((*own, *host.searches)), ("ndots:5",))
    else:
        made = host
    config = pod.spec.dns_config
    if config is None:
        return made
    options = dict(option.partition(":")[::2] for option in made.options)
    options.update({o.name: o.value or "" for o in config.options})
    return Resolver(
        _unique((*made.nameservers, *config.nameservers)),
        _unique((*made.searches, *config.searches)),
        tuple(f"{name}:{value}" if value else name for name, value in options.items()),
    )


def _within_limits(wished: Resolver) -> Resolver:
    searches: list[str] = []
    for search in wished.searches[:_MAX_SEARCHES]:
        if len(search) > _LONGEST_SEARCH:  # some libraries abort on these
            continue
        if len(" ".join((*searches, search))) > _MAX_SEARCH_CHARACTERS:
            break
        searches.append(search)
    return Resolver(wished.nameservers[:_MAX_NAMESERVERS], tuple(searches), wished.options)


def _unique(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
