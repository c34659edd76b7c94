"""IP addresses and CIDR blocks as Kubernetes reads them.

Go once read `010.0.0.1` as 10.0.0.1 and libc reads it as 8.0.0.1: Kubernetes still parses such spellings but refuses
them since 1.36 (KEP-4858), with words of their own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from podrun.api.gotext import quote
from podrun.api.validation.field import Causes, invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

BAD_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
BAD_BLOCK = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def parse(value: str) -> Address | None:
    """The address, leading zeros ignored; None when it is none."""
    if "%" in value or not value.isascii():
        return None
    try:
        return ipaddress.IPv6Address(value) if ":" in value else ipaddress.IPv4Address(without_leading_zeros(value))
    except ValueError:
        return None


def without_leading_zeros(dotted: str) -> str:
    return ".".join(part.lstrip("0") or "0" if part.isdigit() else part for part in dotted.split("."))


def has_leading_zeros(dotted: str) -> bool:
    return ":" not in dotted and without_leading_zeros(dotted) != dotted


def mapped(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside an IPv4-mapped IPv6 one (`::ffff:1.2.3.4`)."""
    return address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None


def is_ipv6(value: str) -> bool:
    """Whether the address is of the IPv6 family (a mapped one is not)."""
    address = parse(value)
    return address is not None and address.version == 6 and mapped(address) is None


def address(path: str, value: str) -> Causes:
    """An address of a field that is older than the strict rules: any spelling, but no ambiguous one."""
    parsed = parse(value)
    if parsed is None:
        yield invalid(path, value, BAD_ADDRESS)
    elif has_leading_zeros(value):
        yield invalid(path, value, "must not have leading 0s")
    elif mapped(parsed):
        yield invalid(path, value, "must not be an IPv4-mapped IPv6 address")


def canonical_address(path: str, value: str) -> Causes:
    """An address in the one spelling that is preferred (RFC 5952)."""
    causes = list(address(path, value))
    yield from causes
    if not causes and str(parse(value)) != value:
        yield invalid(path, value, f"must be in canonical form ({quote(str(parse(value)))})")


def block(path: str, value: str) -> Causes:
    """A CIDR block of a field that is older than the strict rules."""
    head, slash, length = value.partition("/")
    parsed = parse(head)
    bits = prefix_length(length)
    if parsed is None or not slash or not 0 <= bits <= parsed.max_prefixlen:
        yield invalid(path, value, BAD_BLOCK)
    elif has_leading_zeros(head) or str(bits) != length:
        yield invalid(path, value, "must not have leading 0s in IP or prefix length")
    elif mapped(parsed):
        yield invalid(path, value, "must not have an IPv4-mapped IPv6 address")
    elif ipaddress.ip_network((parsed, bits), strict=False).network_address != parsed:
        yield invalid(path, value, "must not have bits set beyond the prefix length")


def prefix_length(text: str) -> int:
    """The number of bits after the slash; -1 when it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def is_dual_stack(values: Iterable[str]) -> bool:
    """Whether both families are among the addresses or blocks."""
    families = {is_ipv6(value.partition("/")[0]) for value in values}
    return len(families) == 2


def endpoint_address(path: str, value: str) -> Causes:
    """An address that traffic can be sent to."""
    parsed = parse(value)
    if parsed is None:
        yield invalid(path, value, "must be a valid IP address")
        return
    seen = mapped(parsed) or parsed
    if seen.is_unspecified:
        yield invalid(path, value, f"may not be unspecified ({value})")
    if seen.is_loopback:
        yield invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if seen.is_link_local:
        yield invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if seen in LINK_LOCAL_MULTICAST[seen.version]:
        yield invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}


def spelling_warnings(path: str, value: str) -> list[str]:
    """What to tell who writes an address of an accepted but unusual spelling."""
    parsed = parse(value)
    if parsed is None:
        return []
    preferred = mapped(parsed) or parsed
    if has_leading_zeros(value) or preferred is not parsed:
        return [f"{path}: non-standard IP address {quote(value)} is invalid: use {quote(str(preferred))}"]
    if parsed.version == 6 and str(parsed) != value:
        canonical = quote(str(parsed))
        return [f"{path}: IPv6 address {quote(value)} should be in RFC 5952 canonical format ({canonical})"]
    return []


def block_spelling_warnings(path: str, value: str) -> list[str]:
    """The same for a CIDR block."""
    head, _, length = value.partition("/")
    parsed = parse(head)
    bits = prefix_length(length)
    if parsed is None or not 0 <= bits <= parsed.max_prefixlen:
        return []
    network = ipaddress.ip_network((parsed, bits), strict=False)
    found = []
    if network.network_address != parsed:
        single = f"{parsed}/{parsed.max_prefixlen}"
        choices = f"should be {quote(str(network))} or {quote(single)}?"
        found.append(f"{path}: CIDR value {quote(value)} is ambiguous in this context ({choices})")
    if has_leading_zeros(head) or str(bits) != length or mapped(parsed):
        found.append(f"{path}: non-standard CIDR value {quote(value)} is invalid: use {quote(str(network))}")
    if not found and parsed.version == 6 and f"{parsed}/{length}" != value:
        canonical = quote(f"{parsed}/{length}")
        found.append(f"{path}: IPv6 CIDR value {quote(value)} should be in RFC 5952 canonical format ({canonical})")
    return found
