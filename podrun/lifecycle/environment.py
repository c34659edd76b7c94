"""The environment of a container: `$(VAR)` expansion, sources of values, Service variables (kubelet_pods.go)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from podrun.api.pod import Container, EnvVar, EnvVarSource, FileKeyRef, KeyRef, ObjectRef, Pod
from podrun.lifecycle.downward import Surroundings, field_value, resource_value

Object = Mapping[str, Any]
Lookup = Callable[[Literal["configmap", "secret"], str], Object | None]
"""A ConfigMap or Secret of the pod's namespace by name; None where there is none."""
ReadFile = Callable[[FileKeyRef], str]
"""The text of an environment file; OSError where it cannot be read."""


class ConfigError(Exception):
    """The container's configuration cannot be made: its text is the message of CreateContainerConfigError."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; `$$` is a dollar sign, and what has no value stays as it is (third_party/forked expansion)."""
    made: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0 and dollar + 1 < len(text):
        made.append(text[at:dollar])
        following = text[dollar + 1]
        close = text.find(")", dollar + 2) if following == "(" else -1
        if close >= 0:
            name = text[dollar + 2 : close]
            made.append(values.get(name, f"$({name})"))
            at = close + 1
        else:
            made.append("$" if following == "$" else f"${following}")
            at = dollar + 2
    made.append(text[at:])
    return "".join(made)


def expand_static(command: Iterable[str], container: Container) -> tuple[str, ...]:
    """A probe's command with the variables that the specification gives literally."""
    values = {variable.name: variable.value for variable in container.env}
    return tuple(expand(word, values) for word in command)


def environment(
    pod: Pod,
    container: Container,
    *,
    services: Sequence[Object],
    lookup: Lookup,
    read_file: ReadFile,
    around: Surroundings,
) -> dict[str, str]:
    """The container's variables in order, without those of its image. Raises ConfigError.

    `services` are the Services to tell of, as `service_links` chooses them.
    """
    links = service_variables(services)
    made: dict[str, str] = {}
    for source in container.env_from:
        for kind, ref in (("configmap", source.config_map_ref), ("secret", source.secret_ref)):
            if ref is not None:
                found = _object(lookup, kind, ref)
                made.update({source.prefix + key: value for key, value in _data(found, kind).items()})
    for variable in container.env:
        value = _value(pod, container, variable, {**links, **made}, lookup, read_file, around)
        if value is not None:
            made[variable.name] = value
    return {**made, **{name: value for name, value in links.items() if name not in made}}


def _object(lookup: Lookup, kind: Any, ref: ObjectRef | KeyRef) -> Object | None:
    found = lookup(kind, ref.name)
    if found is None and not ref.optional:
        raise ConfigError(f'{kind} "{ref.name}" not found')
    return found


def _data(found: Object | None, kind: str) -> dict[str, str]:
    data = (found or {}).get("data") or {}
    if kind == "secret":
        return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in sorted(data.items())}
    return dict(sorted(data.items()))


def _value(
    pod: Pod,
    container: Container,
    variable: EnvVar,
    known: Mapping[str, str],
    lookup: Lookup,
    read_file: ReadFile,
    around: Surroundings,
) -> str | None:
    """The variable's value; None leaves it out (an optional source that is missing)."""
    if variable.value or variable.value_from is None:
        return expand(variable.value, known)
    source = variable.value_from
    if source.field_ref is not None:
        return field_value(pod, source.field_ref.field_path, around)
    if source.resource_field_ref is not None:
        return resource_value(pod, container, source.resource_field_ref, around)
    if source.file_key_ref is not None:
        return _from_file(source.file_key_ref, read_file)
    return _from_key(pod, source, lookup)


def _from_key(pod: Pod, source: EnvVarSource, lookup: Lookup) -> str | None:
    for kind, word, ref in (
        ("configmap", "ConfigMap", source.config_map_key_ref),
        ("secret", "Secret", source.secret_key_ref),
    ):
        if ref is None:
            continue
        found = _object(lookup, kind, ref)
        data = _data(found, kind)
        if found is None or ref.key not in data:
            if ref.optional:
                return None
            raise ConfigError(f"couldn't find key {ref.key} in {word} {pod.metadata.namespace}/{ref.name}")
        return data[ref.key]
    return ""


def _from_file(ref: FileKeyRef, read_file: ReadFile) -> str | None:
    try:
        value = env_file_value(read_file(ref), ref.key)
    except (OSError, ValueError) as error:
        raise ConfigError("couldn't parse env file") from error
    if value:
        return value
    if ref.optional:
        return None
    raise ConfigError(f'environment variable key "{ref.key}" not found in file "{ref.path}"')


def env_file_value(text: str, key: str) -> str:
    """The value of `key` in an environment file, "" when it has none; ValueError for a line that is no such file's.

    `NAME='value'` only: single quotes, which may span lines; `#` begins a comment; no space before `=` (KEP-3721,
    pkg/kubelet/util/env).
    """
    lines = iter(text.splitlines())
    for raw in lines:
        line = raw.lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, rest = line.partition("=")
        if not equals or not name or name != name.rstrip(" \t"):
            raise ValueError(f"invalid environment variable format: {line}")
        if rest[:1] in (" ", "\t"):
            if name == key:
                return ""
            continue
        if not rest.startswith("'"):
            raise ValueError(f"value must be enclosed in single quotes: {line}")
        rest = rest[1:]
        while "'" not in rest:
            following = next(lines, None)
            if following is None:
                raise ValueError(f"unclosed single quote: {line}")
            rest += "\n" + following
        value, _, after = rest.partition("'")
        if (after := after.lstrip(" \t")) and not after.startswith("#"):
            raise ValueError(f"unexpected content after closing quote: {line}")
        if name == key:
            return value
    return ""


def service_links(pod: Pod, services: Iterable[Object]) -> list[Object]:
    """The Services a container hears of: `default/kubernetes` always, its own namespace's if linked."""
    chosen: dict[str, Object] = {}
    for service in services:
        if service.get("spec", {}).get("clusterIP", "None") in ("", "None"):
            continue
        meta = service["metadata"]
        if meta["namespace"] == "default" and meta["name"] == "kubernetes":
            chosen.setdefault(meta["name"], service)
        elif meta["namespace"] == pod.metadata.namespace and pod.spec.enable_service_links:
            chosen[meta["name"]] = service
    return list(chosen.values())


def service_variables(services: Iterable[Object]) -> dict[str, str]:
    """`NAME_SERVICE_HOST` and the variables that Docker's links had (pkg/kubelet/envvars)."""
    made: dict[str, str] = {}
    for service in services:
        prefix = _upper(service["metadata"]["name"])
        address = service["spec"]["clusterIP"]
        ports = service["spec"].get("ports") or []
        if not ports:
            continue
        made[f"{prefix}_SERVICE_HOST"] = address
        made[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                made[f"{prefix}_SERVICE_PORT_{_upper(port['name'])}"] = str(port["port"])
        host = f"[{address}]" if ":" in address else address
        for index, port in enumerate(ports):
            protocol, number = port.get("protocol", "TCP"), port["port"]
            url = f"{protocol.lower()}://{host}:{number}"
            if index == 0:
                made[f"{prefix}_PORT"] = url
            base = f"{prefix}_PORT_{number}_{protocol.upper()}"
            made[base] = url
            made[f"{base}_PROTO"] = protocol.lower()
            made[f"{base}_PORT"] = str(number)
            made[f"{base}_ADDR"] = address
    return made


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
