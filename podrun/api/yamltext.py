"""YAML as the API server reads it: YAML 1.1 as go-yaml v2 resolves it, turned into what JSON can hold.

Only the first document counts. Map keys become strings and are sorted (the server goes through JSON), timestamps stay
text, `yes`, `on` and `y` are true. The parser is libyaml, whose mistakes are worded like those of its Go port.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from podrun.api import gotext
from podrun.api.jsontext import Decimal

MAX_NODES = 1_000_000
"""Nodes after aliases are followed; a document with more is refused (a "billion laughs")."""

TOO_DEEP = "yaml: exceeded max depth of 10000"
_TOO_DEEP = "exceeded maximum nesting depth"
"""libyaml's own words, since PyYAML 6.0.4 brings one that counts."""

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_LONGEST_INTEGER = 100
"""Characters; a longer number fits no integer, and Python refuses to read one of thousands of digits."""
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITIES = re.compile(r"[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)")
_STRING_TAG = "tag:yaml.org,2002:str"
_BINARY_TAG = "tag:yaml.org,2002:binary"

_RESOLVER = yaml.resolver.Resolver()
_SCANNER_ERRORS: type[yaml.YAMLError] = yaml.scanner.ScannerError


class YamlMistake(ValueError):
    """The text is not YAML, or not what JSON can hold; the message is go-yaml's."""


def read(body: bytes) -> tuple[Any, list[str]]:
    """The value of the first document, and a line for each key that a map has twice; raises YamlMistake."""
    loader = yaml.CSafeLoader(body)
    try:
        node = loader.get_node() if loader.check_node() else None
    except yaml.YAMLError as mistake:
        raise YamlMistake(_words(mistake)) from None
    except RecursionError:
        raise YamlMistake(TOO_DEEP) from None
    finally:
        loader.dispose()
    if node is None:
        return None, []
    converter = _Converter()
    try:
        return converter.value(node, frozenset()), converter.repeated
    except RecursionError:
        raise YamlMistake(TOO_DEEP) from None


def repeated_sentence(lines: list[str]) -> str:
    """The strict decoder's sentence about keys that stand twice."""
    return "yaml: unmarshal errors:\n  " + "\n  ".join(lines)


class _Converter:
    def __init__(self) -> None:
        self.repeated: list[str] = []
        self.nodes = 0

    def value(self, node: Node, inside: frozenset[int]) -> Any:
        """The JSON value of a node; `inside` are the ids of the nodes around it."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise YamlMistake("yaml: document contains excessive aliasing")
        if isinstance(node, ScalarNode):
            return scalar(node)
        if id(node) in inside:
            raise YamlMistake("yaml: anchor value contains itself")
        inside |= {id(node)}
        if isinstance(node, SequenceNode):
            return [self.value(item, inside) for item in node.value]
        assert isinstance(node, MappingNode)
        return self.mapping(node, inside)

    def mapping(self, node: MappingNode, inside: frozenset[int]) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if isinstance(key_node, ScalarNode) and key_node.value == "<<" and not key_node.style:
                for source in reversed(value_node.value) if isinstance(value_node, SequenceNode) else [value_node]:
                    if not isinstance(source, MappingNode):
                        raise YamlMistake("yaml: map merge requires map or sequence of maps as the value")
                    merged.update(self.mapping(source, inside))
                continue
            key = self.value(key_node, inside)
            if key is None or isinstance(key, (dict, list)):
                raise YamlMistake(f"unsupported map key of type: {'%!s(<nil>)' if key is None else 'map or list'}")
            name = key if isinstance(key, str) else gotext.plain(key)
            if name in own:
                shown = gotext.quote(key) if isinstance(key, str) else name
                self.repeated.append(f"line {value_node.start_mark.line + 1}: key {shown} already set in map")
            own[name] = self.value(value_node, inside)
        merged.update(own)
        return {name: merged[name] for name in sorted(merged)}


def scalar(node: ScalarNode) -> Any:
    """The JSON value of a scalar: quoted ones are text, plain ones are what they look like."""
    text: str = node.value
    if node.style or _is_tagged_text(node):
        return text
    if text in _WORDS:
        return _WORDS[text]
    plain = text.replace("_", "")
    if plain[:1] in "0123456789+-" and len(plain) <= _LONGEST_INTEGER and _INTEGER.fullmatch(plain):
        number = _integer(plain)
        if -(1 << 63) <= number < 1 << 64:
            return number
    if plain[:1] in "0123456789+-." and _FLOAT.fullmatch(plain):
        value = float(plain)
        if math.isinf(value):  # out of range for Go: then it is text
            return text
        return int(value) if value == int(value) and abs(value) < 1e21 else Decimal.of(gotext.number(value))
    if _INFINITIES.fullmatch(text):
        named = "NaN" if text.lower().endswith("nan") else "-Inf" if text.startswith("-") else "+Inf"
        raise YamlMistake(f"json: unsupported value: {named}")
    return text


def _is_tagged_text(node: ScalarNode) -> bool:
    """Whether a plain scalar has a tag that makes it text: `!!str 5`."""
    if node.tag == _BINARY_TAG:
        return True
    resolve: Callable[..., str] = _RESOLVER.resolve
    return node.tag == _STRING_TAG and resolve(ScalarNode, node.value, (True, False)) != _STRING_TAG


def _integer(plain: str) -> int:
    sign = -1 if plain.startswith("-") else 1
    digits = plain.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        digits = f"0o{digits}"
    return sign * int(digits, 0)


def _words(mistake: yaml.YAMLError) -> str:
    """A parser's mistake in go-yaml's form: `yaml: line 3: did not find expected key`."""
    problem = getattr(mistake, "problem", None) or "unknown problem parsing YAML content"
    if problem == _TOO_DEEP:
        return TOO_DEEP
    mark, context = getattr(mistake, "problem_mark", None), getattr(mistake, "context_mark", None)
    line = 0
    if mark is not None and mark.line:
        line = mark.line + (1 if isinstance(mistake, _SCANNER_ERRORS) else 0)
    elif context is not None and context.line:
        line = context.line
    where = f"line {line}: " if line else ""
    return f"yaml: {where}{problem}"
