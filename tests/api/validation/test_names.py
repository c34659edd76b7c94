"""What names, keys, ports and addresses may look like."""

from __future__ import annotations

import pytest

from podrun.api.validation import addresses, names
from podrun.api.validation.field import Path, spell

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
PORT_CHARACTERS = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"


@pytest.mark.parametrize(
    ("check", "value", "problems"),
    [
        pytest.param(names.dns_label, "a-1", [], id="a label may hold digits and dashes"),
        pytest.param(names.dns_label, "a.b", ["must not contain dots"], id="a label with dots is told so"),
        pytest.param(names.dns_label, "A", [LABEL], id="a label is lower case"),
        pytest.param(names.dns_label, "a\n", [LABEL], id="a newline at the end does not slip through"),
        pytest.param(
            names.dns_label, "a" * 64, ["must be no more than 63 characters"], id="a label has 63 characters at most"
        ),
        pytest.param(names.dns_subdomain, "a.b-c.1", [], id="a subdomain is labels with dots"),
        pytest.param(names.qualified_name, "a.b/C_d", [], id="a key may have a domain and capitals"),
        pytest.param(names.qualified_name, "/x", ["prefix part must be non-empty"], id="a slash needs a domain"),
        pytest.param(
            names.qualified_name, "a/", ["name part must be non-empty", NAME_PART], id="a slash needs a name after it"
        ),
        pytest.param(
            names.qualified_name,
            "a/" + "b" * 64,
            ["name part must be no more than 63 bytes"],
            id="the name after the domain has 63 bytes at most",
        ),
        pytest.param(names.label_value, "", [], id="a label's value may be empty"),
        pytest.param(
            names.label_value,
            "ä" * 32,
            ["must be no more than 63 bytes", None],
            id="lengths are in bytes",
        ),
        pytest.param(names.port_name, "http-2", [], id="a port's name may hold digits"),
        pytest.param(names.port_name, "80", ["must contain at least one letter (a-z)"], id="a port has a letter"),
        pytest.param(
            names.port_name,
            "-A--",
            [
                PORT_CHARACTERS,
                "must contain at least one letter (a-z)",
                "must not contain consecutive hyphens",
                "must not begin or end with a hyphen",
            ],
            id="everything that is wrong with a port's name is told",
        ),
        pytest.param(names.env_name, "a b-c.d", [], id="a variable's name is anything printable"),
        pytest.param(names.env_name, "a=b", [names.ENV_NAME_RULE], id="but the equals sign"),
        pytest.param(names.config_key, "..", ["must not be '..'"], id="a key is no way up"),
        pytest.param(names.config_key, "..a", ["must not start with '..'"], id="nor begins like one"),
        pytest.param(names.path_segment, "a/%", ["may not contain '/'", "may not contain '%'"], id="a role's name"),
        pytest.param(names.path_segment, "..", ["may not be '..'"], id="a role is no way up"),
        pytest.param(names.as_prefix(names.dns_label), "web-", [], id="the base of a generated name may end in a dash"),
    ],
)
def test_a_name(check: names.NameCheck, value: str, problems: list[str | None]) -> None:
    found = check(value)
    assert len(found) == len(problems)
    assert all(expected in (None, given) for expected, given in zip(problems, found, strict=True))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("10.0.0.1", None),
        ("2001:DB8::1", None),
        ("10.0.0", addresses.BAD_ADDRESS),
        ("fe80::1%eth0", addresses.BAD_ADDRESS),
        ("", addresses.BAD_ADDRESS),
        ("010.0.0.1", "must not have leading 0s"),
        ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
    ],
)
def test_an_address(value: str, problem: str | None) -> None:
    causes = list(addresses.address(Path("ip"), value))
    assert [cause.message for cause in causes] == ([f"Invalid value: {spell(value)}: {problem}"] if problem else [])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("10.0.0.0/8", None),
        ("fd00::/64", None),
        ("10.0.0.0", addresses.BAD_BLOCK),
        ("10.0.0.0/33", addresses.BAD_BLOCK),
        ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
        ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
        ("::ffff:1.2.3.0/120", "must not have an IPv4-mapped IPv6 address"),
    ],
)
def test_a_block(value: str, problem: str | None) -> None:
    causes = list(addresses.block(Path("cidr"), value))
    assert [cause.message for cause in causes] == ([f"Invalid value: {spell(value)}: {problem}"] if problem else [])


@pytest.mark.parametrize(
    ("value", "warning"),
    [
        ("10.0.0.1", []),
        ("010.0.0.1", ['ip: non-standard IP address "010.0.0.1" is invalid: use "10.0.0.1"']),
        ("::ffff:1.2.3.4", ['ip: non-standard IP address "::ffff:1.2.3.4" is invalid: use "1.2.3.4"']),
        (
            "2001:DB8::1",
            ['ip: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'],
        ),
        ("x", []),
    ],
)
def test_the_spelling_of_an_address(value: str, warning: list[str]) -> None:
    assert addresses.spelling_warnings("ip", value) == warning


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\n", '"a\\n"'),
        (7, "7"),
        (None, "null"),
        (True, "true"),
        (["<a>", 1], '["\\u003ca\\u003e",1]'),
        ({"B": None, "A": ""}, '{"B":null,"A":""}'),
    ],
)
def test_values_stand_as_go_prints_them(value: object, text: str) -> None:
    assert spell(value) == text
