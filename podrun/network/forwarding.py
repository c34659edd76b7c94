"""The host's own forwarding: switched on where it is off, and other firewalls that would drop pods' packets.

podrun is a guest. What it changes of the host it notes first (`record`), so that reset can put it back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from podrun.network.netlink import IPv4
from podrun.network.rules import TABLE, listing
from podrun.network.wiring import LINK_PREFIX

MARK = "podrun"
"""Comment of the rules that are added to other firewalls' chains."""
_SWITCH = Path("/proc/sys/net/ipv4/ip_forward")


def switch_on(record: Path, switch: Path = _SWITCH) -> bool:
    """Have IPv4 forwarding on; True when podrun switched it on, now or in an earlier life (`record`)."""
    if switch.read_text().strip() == "0":
        record.write_text("0\n")
        switch.write_text("1\n")
        return True
    return record.exists()


def restore(record: Path, switch: Path = _SWITCH) -> None:
    """Put back what `switch_on` noted."""
    if record.exists():
        switch.write_text(record.read_text())
        record.unlink()


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A base chain of another firewall that drops what it does not know."""

    family: str
    table: str
    chain: str
    hook: str

    @property
    def owner(self) -> str:
        """Whose it probably is, for people."""
        if self.table == "firewalld":
            return "firewalld"
        return "iptables (docker, ufw or the administrator)" if self.table == "filter" else self.table


def obstacles(rules: str) -> list[Obstacle]:
    """From `nft -j list ruleset`: others' forward and input chains that drop, and firewalld's (which reject last).

    The first would keep pods' packets from passing, the second pods from the API's address. Chains that already hold
    podrun's marked rule are not obstacles.
    """
    entries = json.loads(rules).get("nftables", []) if rules.strip() else []
    answered = {
        (rule["family"], rule["table"], rule["chain"])
        for entry in entries
        if (rule := entry.get("rule")) and rule.get("comment") == MARK
    }
    found = []
    for entry in entries:
        chain = entry.get("chain")
        if not chain or chain.get("hook") not in ("forward", "input") or chain["family"] not in ("ip", "inet"):
            continue
        where = (chain["family"], chain["table"], chain["name"])
        drops = chain.get("policy") == "drop" or chain["table"] == "firewalld"
        if drops and chain["table"] != TABLE and where not in answered:
            found.append(Obstacle(*where, chain["hook"]))
    return found


def answer(found: list[Obstacle], own: IPv4 | IPv4Network) -> str:
    """nft commands that let pods' packets through each obstacle, by marked rules at the front of the chain.

    `own` is where the host itself serves pods (the API, DNS).
    """
    lines = []
    for obstacle in found:
        at = f"{obstacle.family} {obstacle.table} {obstacle.chain}"
        if obstacle.hook == "input":
            lines.append(f'insert rule {at} iifname "{LINK_PREFIX}*" ip daddr {own} accept comment "{MARK}"')
            continue
        lines += [f'insert rule {at} {way} "{LINK_PREFIX}*" accept comment "{MARK}"' for way in ("iifname", "oifname")]
    return "".join(f"{line}\n" for line in lines)


def withdraw(rules: str) -> str:
    """nft commands that delete every marked rule (`nft -j -a list ruleset`)."""
    lines = []
    for entry in json.loads(rules).get("nftables", []) if rules.strip() else []:
        rule = entry.get("rule")
        if rule and rule.get("comment") == MARK and rule["table"] != TABLE:
            lines.append(f"delete rule {rule['family']} {rule['table']} {rule['chain']} handle {rule['handle']}\n")
    return "".join(lines)


async def detect() -> list[Obstacle]:
    """The obstacles on this machine. Raises RulesRefused."""
    return obstacles(await listing())
