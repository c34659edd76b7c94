"""What a person may set: /etc/podrun/config.yaml, and the options of `podrun daemon`, which win over it.

listen: 127.0.0.1:6443
registryMirrors:
  docker.io: [http://127.0.0.1:5000]
"""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from podrun.lifecycle.pressure import HARD_DEFAULTS, Threshold, thresholds


class SettingsError(Exception):
    """config.yaml or an option is wrong; the text names the file, the field and what it should be."""


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def _seconds(text: str) -> float:
    """Of a duration as Go writes it. Raises ValueError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(map("".join, parts)) != text:
        raise ValueError(f"{text!r} is no duration, as 90s and 1m30s are")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class Settings(BaseModel):
    """The daemon's settings. Names in config.yaml are in camelCase, as in Kubernetes' own configuration files."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    listen: str = "127.0.0.1:6443"
    """Address and port of the HTTPS API."""
    certificate_names: tuple[str, ...] = ()
    """Further names and addresses that clients reach the API by."""
    node_name: str = ""
    """Default: the host's name in lower case, as the kubelet takes it."""
    time_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    """0.1 runs restart and image back-offs and the expiry of events ten times faster (never probes or deadlines)."""
    seccomp_default: bool = True
    """Containers that say nothing get RuntimeDefault (the kubelet's seccompDefault)."""
    debug_mounts: bool = True
    """A debug container with a target sees the target's volumes."""
    registry_mirrors: dict[str, tuple[str, ...]] = {}
    """Registry (docker.io) to the addresses asked before it, in order."""

    eviction_hard: dict[str, str] = HARD_DEFAULTS
    """What the machine must have left (memory.available: 100Mi, ...) before pods are evicted; {} is nothing."""
    eviction_soft: dict[str, str] = {}
    """The same, with a grace."""
    eviction_soft_grace_period: dict[str, str] = {}
    """How long a soft one may be met: 90s, 1m30s."""

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        host, separator, port = value.rpartition(":")
        try:
            ipaddress.ip_address(host.strip("[]"))
            if not separator or not 0 < int(port) < 65536:
                raise ValueError
        except ValueError:
            raise ValueError(f"{value!r} is not ADDRESS:PORT, as 127.0.0.1:6443 is") from None
        return value

    @model_validator(mode="after")
    def _evicts_by_what_there_is(self) -> Self:
        self.eviction_thresholds()
        return self

    def eviction_thresholds(self) -> tuple[Threshold, ...]:
        """Of the three fields above."""
        grace = {signal: _seconds(text) for signal, text in self.eviction_soft_grace_period.items()}
        return thresholds(self.eviction_hard, self.eviction_soft, grace)

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def node(self) -> str:
        return self.node_name or socket.gethostname().lower()

    @property
    def server_url(self) -> str:
        """How a client on this machine reaches the API."""
        address = ipaddress.ip_address(self.host)
        host = ("127.0.0.1" if address.version == 4 else "::1") if address.is_unspecified else self.host
        return f"https://[{host}]:{self.port}" if ":" in host else f"https://{host}:{self.port}"


def load(config: Path, options: dict[str, Any]) -> Settings:
    """The file's settings with `options` (those that are not None) over them. Raises SettingsError."""
    try:
        written = yaml.safe_load(config.read_text())
    except FileNotFoundError:
        written = None
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{config} cannot be read: {error}") from error
    if written is None:
        written = {}
    if not isinstance(written, dict):
        raise SettingsError(f"{config} is not a mapping of names to values")
    given = {to_camel(name): value for name, value in options.items() if value is not None}
    try:
        return Settings.model_validate({**written, **given})
    except ValidationError as error:
        problems = [_say(problem, given, config) for problem in error.errors()]
        raise SettingsError("; ".join(problems)) from None


def _say(problem: Any, given: dict[str, Any], config: Path) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    place = "option" if name in given else str(config)
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{place}: {where} is not a setting; there are: {', '.join(map(to_camel, Settings.model_fields))}"
    return f"{place}: {where}: {problem['msg'].removeprefix('Value error, ')}"
