"""Label selectors, parsed with Kubernetes' grammar and words, matched against labels.

`a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, `a>1`, `a<1`, joined by commas. Source:
apimachinery/pkg/labels. Field selectors are in `fieldselectors.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podrun.api.errors import bad_request
from podrun.api.gotext import quote
from podrun.api.validation import names

Object = dict[str, Any]

_SPACE = " \t\r\n"
_SYMBOLS = "=!(),><"
_WORDS = frozenset({"in", "notin"})
_SYMBOL_TOKENS = frozenset({")", ",", "!", "==", "=", ">", "<", "!=", "("})
_BINARY = "in, notin, =, ==, !=, gt, lt"
_OPERATORS = frozenset({"in", "notin", "=", "==", "!=", ">", "<"})
_INT64 = 1 << 63


class _Mistake(ValueError):
    """The selector is not one; the message is Kubernetes'."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition: `operator` is one of `in notin = == != > <`, `exists` or `!`; values are sorted."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels meets the condition; a missing label meets the negative ones."""
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        number, limit = _int64(value), _int64(self.values[0])
        if number is None or limit is None:
            return False
        return number > limit if self.operator == ">" else number < limit

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
        return f"{self.key}{self.operator}{','.join(self.values)}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All of its requirements must hold; without any it selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        return all(one.matches(labels or {}) for one in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING = LabelSelector()


def parse_labels(text: str) -> LabelSelector:
    """The selector of a `labelSelector` parameter; raises ApiError 400."""
    try:
        found = _Parser(text).parse()
    except _Mistake as mistake:
        raise bad_request(str(mistake)) from None
    return LabelSelector(tuple(sorted(found, key=lambda one: one.key)))


def label_selector(selector: Object) -> LabelSelector:
    """The selector of a metav1.LabelSelector (matchLabels and matchExpressions); raises ApiError 400."""
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    found = [Requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        operator = operators.get(one.get("operator", ""))
        if operator is None:
            raise bad_request(f"{quote(one.get('operator', ''))} is not a valid label selector operator")
        found.append(Requirement(one.get("key", ""), operator, tuple(sorted(one.get("values") or ()))))
    return LabelSelector(tuple(sorted(found, key=lambda one: one.key)))


def _int64(text: str | None) -> int | None:
    try:
        number = int(text or "")
    except ValueError:
        return None
    return number if -_INT64 <= number < _INT64 and "_" not in (text or "") else None


def _tokens(text: str) -> list[tuple[str, str]]:
    """Pairs of a token's kind and its text: kinds are the symbols and words themselves, `id`, `error` and `end`."""
    found: list[tuple[str, str]] = []
    at = 0
    while True:
        while at < len(text) and text[at] in _SPACE:
            at += 1
        if at >= len(text):
            found.append(("end", ""))
            return found
        start = at
        if text[at] in _SYMBOLS:
            longest = ""
            while at < len(text) and text[at] in _SYMBOLS:
                longer = text[start : at + 1]
                if longer in _SYMBOL_TOKENS:
                    longest = longer
                elif longest:
                    break
                at += 1
            found.append(
                (longest, longest) if longest else ("error", f"error expected: keyword found '{text[start:at]}'")
            )
        else:
            while at < len(text) and text[at] not in _SYMBOLS and text[at] not in _SPACE:
                at += 1
            word = text[start:at]
            found.append((word if word in _WORDS else "id", word))


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def look(self) -> tuple[str, str]:
        """The next token where a value may stand: the words are values there."""
        kind, text = self.tokens[min(self.at, len(self.tokens) - 1)]
        return ("id" if kind in _WORDS else kind), text

    def take(self) -> tuple[str, str]:
        found = self.look()
        self.at += 1
        return found

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            kind, text = self.look()
            if kind == "end":
                return found
            if kind not in ("id", "!"):
                raise _Mistake(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self.requirement())
            except _Mistake as mistake:
                raise _Mistake(f"unable to parse requirement: {mistake}") from None
            kind, text = self.take()
            if kind == "end":
                return found
            if kind != ",":
                raise _Mistake(f"found '{text}', expected: ',' or 'end of string'")
            kind, text = self.look()
            if kind not in ("id", "!"):
                raise _Mistake(f"found '{text}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        kind, key = self.take()
        negated = kind == "!"
        if negated:
            kind, key = self.take()
        if kind != "id":
            raise _Mistake(f"found '{key}', expected: identifier")
        problems = names.qualified_name(key)
        if problems:
            raise _Mistake(f"<nil>: Invalid value: {quote(key)}: {'; '.join(problems)}")
        if negated or self.look()[0] in ("end", ","):
            return Requirement(key, "!" if negated else "exists")
        operator, text = self.tokens[self.at]
        self.at += 1
        if operator not in _OPERATORS:
            raise _Mistake(f"found '{text}', expected: {_BINARY}")
        values = sorted(self.values() if operator in _WORDS else self.exact_value())
        mistakes = []
        if operator in "><" and _int64(values[0]) is None:
            wrong = "for 'Gt', 'Lt' operators, the value must be an integer"
            mistakes.append(f"values[0]: Invalid value: {quote(values[0])}: {wrong}")
        for index, value in enumerate(values):
            problems = names.label_value(value)
            if problems:
                mistakes.append(f"values[{index}][{key}]: Invalid value: {quote(value)}: {'; '.join(problems)}")
        if mistakes:
            raise _Mistake(mistakes[0] if len(mistakes) == 1 else f"[{', '.join(mistakes)}]")
        return Requirement(key, operator, tuple(values))

    def exact_value(self) -> set[str]:
        if self.look()[0] in ("end", ","):
            return {""}
        kind, text = self.take()
        if kind != "id":
            raise _Mistake(f"found '{text}', expected: identifier")
        return {text}

    def values(self) -> set[str]:
        kind, text = self.take()
        if kind != "(":
            raise _Mistake(f"found '{text}' expected: '('")
        kind, text = self.look()
        if kind == ")":
            self.take()
            return {""}
        if kind not in ("id", ","):
            raise _Mistake(f"found '{text}', expected: ',', ')' or identifier")
        found = self.listed()
        if self.take()[0] != ")":
            raise _Mistake(f"found '{text}', expected: ')'")
        return found

    def listed(self) -> set[str]:
        found: set[str] = set()
        while True:
            kind, text = self.take()
            after, after_text = self.look()
            if kind == "id":
                found.add(text)
                if after == ")":
                    return found
                if after != ",":
                    raise _Mistake(f"found '{after_text}', expected: ',' or ')'")
            elif kind == ",":
                if not found or after in (")", ","):
                    found.add("")
                if after == ")":
                    return found
            else:
                raise _Mistake(f"found '{text}', expected: ',', or identifier")
