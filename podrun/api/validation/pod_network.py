"""What a pod's network looks like from inside: ports, resolver, hosts file, names."""

from __future__ import annotations

from podrun.api.validation.addresses import address
from podrun.api.validation.field import (
    Causes,
    Path,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from podrun.api.validation.names import (
    dns_label,
    dns_subdomain,
    dns_subdomain_with_underscore,
    port_name,
    port_number,
)
from podrun.api.validation.read import (
    Object,
    flag,
    items,
    number,
    optional_mapping,
    optional_text,
    size,
    strings,
    text,
)

PROTOCOLS = ("SCTP", "TCP", "UDP")
NAMESERVERS = 3
SEARCH_PATHS = 32
SEARCH_CHARACTERS = 2048
HOSTNAME_LENGTH = 64


def container_ports(ports: list[Object], path: Path) -> Causes:
    names: set[str] = set()
    for position, port in enumerate(ports):
        here = path.at(position)
        name, protocol = text(port, "name"), text(port, "protocol")
        container_port, host_port = number(port, "containerPort"), number(port, "hostPort")
        if name:
            problems = port_name(name)
            yield from each_invalid(here.child("name"), name, problems)
            if not problems and name in names:
                yield duplicate(here.child("name"), name)
            elif not problems:
                names.add(name)
        if container_port:
            yield from each_invalid(here.child("containerPort"), container_port, port_number(container_port))
        else:
            yield required(here.child("containerPort"))
        if host_port:
            yield from each_invalid(here.child("hostPort"), host_port, port_number(host_port))
        if not protocol:
            yield required(here.child("protocol"))
        elif protocol not in PROTOCOLS:
            yield not_supported(here.child("protocol"), protocol, PROTOCOLS)


def host_port_conflicts(containers: list[Object], path: Path) -> Causes:
    """A port of the host can be taken once for each protocol and address."""
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for position, port in enumerate(items(container, "ports")):
            host_port = number(port, "hostPort")
            if not host_port:
                continue
            key = f"{text(port, 'protocol')}/{text(port, 'hostIP')}/{host_port}"
            if key in taken:
                yield duplicate(path.at(index).child("ports").at(position).child("hostPort"), key)
            taken.add(key)


def host_network_ports(spec: Object, path: Path, *, is_pod: bool) -> Causes:
    """In the host's network a container's port is the host's port; a template may leave that to the default."""
    if not flag(spec, "hostNetwork"):
        return
    for index, container in enumerate(items(spec, "containers")):
        for position, port in enumerate(items(container, "ports")):
            host_port = number(port, "hostPort")
            if (is_pod or host_port) and host_port != number(port, "containerPort"):
                here = path.child("containers").at(index).child("ports").at(position).child("hostPort")
                yield invalid(here, host_port, "must match `containerPort` when `hostNetwork` is true")


def dns_config(spec: Object, path: Path) -> Causes:
    """`dnsConfig`, which must name a server where `dnsPolicy` asks for none."""
    config = optional_mapping(spec, "dnsConfig")
    if text(spec, "dnsPolicy") == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not strings(config, "nameservers"):
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(path.child("nameservers"), why)
            return
    if config is None:
        return
    servers, searches = strings(config, "nameservers"), strings(config, "searches")
    if len(servers) > NAMESERVERS:
        yield invalid(path.child("nameservers"), servers, f"must not have more than {NAMESERVERS} nameservers")
    for position, server in enumerate(servers):
        yield from address(path.child("nameservers").at(position), server)
    here = path.child("searches")
    if len(searches) > SEARCH_PATHS:
        yield invalid(here, searches, f"must not have more than {SEARCH_PATHS} search paths")
    if size(" ".join(searches)) > SEARCH_CHARACTERS:
        why = f"must not have more than {SEARCH_CHARACTERS} characters (including spaces) in the search list"
        yield invalid(here, searches, why)
    for position, search in enumerate(searches):
        domain = search.removesuffix(".")
        if search != ".":
            yield from each_invalid(here.at(position), domain, dns_subdomain_with_underscore(domain))
    for position, option in enumerate(items(config, "options")):
        if not text(option, "name"):
            yield required(path.child("options").at(position), "must not be empty")


def host_aliases(aliases: list[Object], path: Path) -> Causes:
    for position, alias in enumerate(aliases):
        here = path.at(position)
        yield from address(here.child("ip"), text(alias, "ip"))
        for index, hostname in enumerate(strings(alias, "hostnames")):
            yield from each_invalid(here.child("hostnames").at(index), hostname, dns_subdomain(hostname))


def hostnames(spec: Object, path: Path) -> Causes:
    for name in ("hostname", "subdomain"):
        value = text(spec, name)
        if value:
            yield from each_invalid(path.child(name), value, dns_label(value))


def hostname_override(spec: Object, path: Path) -> Causes:
    """A name that wins over all others (KEP-4762)."""
    value = optional_text(spec, "hostnameOverride")
    here = path.child("hostnameOverride")
    if value is None:
        return
    if flag(spec, "setHostnameAsFQDN"):
        yield forbidden(here, "may not be specified when setHostnameAsFQDN is true")
    if flag(spec, "hostNetwork"):
        yield forbidden(here, "may not be specified when hostNetwork is true")
    if size(value) > HOSTNAME_LENGTH:
        yield too_long(here, HOSTNAME_LENGTH)
    yield from each_invalid(here, value, dns_subdomain(value))
