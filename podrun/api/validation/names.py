"""What names, keys, labels, ports and paths may look like, with Kubernetes' explanations.

Each check takes a value and gives the list of what is wrong with it, in words that stand on their own; an empty list
means that it is fine. Sources: apimachinery/pkg/util/validation/validation.go and pkg/api/validate/content. The two
count lengths in different words (characters there, bytes here), and so does this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from podrun.api.validation.read import size

LABEL_FORMAT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
SUBDOMAIN_FORMAT = rf"{LABEL_FORMAT}(\.{LABEL_FORMAT})*"
SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
UNDERSCORE_LABEL_FORMAT = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
UNDERSCORE_SUBDOMAIN_FORMAT = rf"{UNDERSCORE_LABEL_FORMAT}(\.{UNDERSCORE_LABEL_FORMAT})*"
UNDERSCORE_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
    "and must start and end with an alphanumeric character"
)
NAME_PART_FORMAT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
NAME_PART_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
LABEL_VALUE_FORMAT = f"({NAME_PART_FORMAT})?"
LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
CONFIG_KEY_FORMAT = "[-._a-zA-Z0-9]+"
CONFIG_KEY_RULE = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
HEADER_FORMAT = "[-A-Za-z0-9]+"
HEADER_RULE = "a valid HTTP header must consist of alphanumeric characters or '-'"
ENV_NAME_RULE = "a valid environment variable name must consist only of printable ASCII characters other than '='"

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253

_label = re.compile(LABEL_FORMAT)
_subdomain = re.compile(SUBDOMAIN_FORMAT)
_underscore_subdomain = re.compile(UNDERSCORE_SUBDOMAIN_FORMAT)
_name_part = re.compile(NAME_PART_FORMAT)
_config_key = re.compile(CONFIG_KEY_FORMAT)
_header = re.compile(HEADER_FORMAT)
_port_name = re.compile("[-a-z0-9]+")
_env_name = re.compile("[ -<>-~]*")
_decimal = re.compile("0|-?[1-9][0-9]*")


def matching(rule: str, form: str, *examples: str) -> str:
    """`rule`, with examples and the regular expression that was used."""
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{form}')"


def between(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def _longest(value: str, limit: int, unit: str) -> list[str]:
    return [f"must be no more than {limit} {unit}"] if size(value) > limit else []


def dns_label(value: str) -> list[str]:
    """A DNS label (RFC 1123): names of containers, volumes, namespaces."""
    problems = _longest(value, LABEL_LENGTH, "characters")
    if not _label.fullmatch(value):
        if _subdomain.fullmatch(value):
            problems.append("must not contain dots")
        else:
            problems.append(matching(LABEL_RULE, LABEL_FORMAT, "my-name", "123-abc"))
    return problems


def dns_subdomain(value: str, unit: str = "characters") -> list[str]:
    """A DNS subdomain (RFC 1123): names of most objects."""
    problems = _longest(value, SUBDOMAIN_LENGTH, unit)
    if not _subdomain.fullmatch(value):
        problems.append(matching(SUBDOMAIN_RULE, SUBDOMAIN_FORMAT, "example.com"))
    return problems


def dns_subdomain_with_underscore(value: str) -> list[str]:
    """A DNS subdomain whose labels may hold underscores: search paths of the resolver."""
    problems = _longest(value, SUBDOMAIN_LENGTH, "characters")
    if not _underscore_subdomain.fullmatch(value):
        problems.append(matching(UNDERSCORE_SUBDOMAIN_RULE, UNDERSCORE_SUBDOMAIN_FORMAT, "example.com"))
    return problems


def path_segment(value: str) -> list[str]:
    """What can stand between two slashes of a URL: names of roles and bindings."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return path_segment_prefix(value)


def path_segment_prefix(value: str) -> list[str]:
    """What a path segment can begin with."""
    return [f"may not contain '{char}'" for char in "/%" if char in value]


NameCheck = Callable[[str], list[str]]


def as_prefix(check: NameCheck) -> NameCheck:
    """The same check for the base of a generated name, which may end in a dash.

    Kubernetes masks the dash together with the character before it; so does this.
    """

    def checked(value: str) -> list[str]:
        return check(value[:-2] + "a" if len(value) > 1 and value.endswith("-") else value)

    return checked


def qualified_name(value: str) -> list[str]:
    """A key of labels, resources, conditions: a name, with an optional DNS subdomain and a slash before it."""
    prefix, slash, name = value.partition("/")
    problems: list[str] = []
    if not slash:
        name = prefix
    elif "/" in name:
        rule = matching(NAME_PART_RULE, NAME_PART_FORMAT, "MyName", "my.name", "123-abc")
        return [f"a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    elif not prefix:
        problems.append("prefix part must be non-empty")
    else:
        problems += [f"prefix part {problem}" for problem in dns_subdomain(prefix, "bytes")]
    if not name:
        problems.append("name part must be non-empty")
    elif size(name) > LABEL_LENGTH:
        problems.append(f"name part must be no more than {LABEL_LENGTH} bytes")
    if not _name_part.fullmatch(name):
        problems.append(f"name part {matching(NAME_PART_RULE, NAME_PART_FORMAT, 'MyName', 'my.name', '123-abc')}")
    return problems


def label_value(value: str) -> list[str]:
    problems = _longest(value, LABEL_LENGTH, "bytes")
    if value and not _name_part.fullmatch(value):
        problems.append(matching(LABEL_VALUE_RULE, LABEL_VALUE_FORMAT, "MyValue", "my_value", "12345"))
    return problems


def config_key(value: str) -> list[str]:
    """A key of a ConfigMap or a Secret: it becomes a file name."""
    problems = _longest(value, SUBDOMAIN_LENGTH, "characters")
    if not _config_key.fullmatch(value):
        problems.append(matching(CONFIG_KEY_RULE, CONFIG_KEY_FORMAT, "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        problems.append(f"must not be '{value}'")
    elif value.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def env_name(value: str) -> list[str]:
    """A name of an environment variable: anything printable but `=` (KEP-4369)."""
    if not value:
        return ["environment variable name must be non-empty"]
    return [] if _env_name.fullmatch(value) else [ENV_NAME_RULE]


def port_name(value: str) -> list[str]:
    """A name of a port (RFC 6335, lower case)."""
    problems = _longest(value, 15, "characters")
    if not _port_name.fullmatch(value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= char <= "z" for char in value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else [between(1, 65535)]


def user_or_group_id(value: int) -> list[str]:
    return [] if 0 <= value <= 2**31 - 1 else [between(0, 2**31 - 1)]


def http_header_name(value: str) -> list[str]:
    return [] if _header.fullmatch(value) else [matching(HEADER_RULE, HEADER_FORMAT, "X-Header-Name")]


def is_decimal_integer(value: str) -> bool:
    """Whether this is an integer as people write it: no leading zeros, no plus sign."""
    return _decimal.fullmatch(value) is not None
