"""JSON as the API server reads it: repeated names are noticed, numbers keep their spelling, mistakes have Go's words.

`read` uses the standard library's fast scanner and turns to the careful one below for what that cannot tell: the
sentence for a mistake, and bodies nested deeper than Python's recursion allows (Go allows 10,000).
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 10_000


class SyntaxMistake(ValueError):
    """The text is not JSON; the message is the one of Go's encoding/json."""


class Repeated(dict[str, Any]):
    """An object that had a name more than once: the dict holds the last values, `pairs` all of them in order."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class Decimal(float):
    """A number that was not written as a whole one; `text` is its spelling."""

    __slots__ = ("text",)
    text: str

    @classmethod
    def of(cls, text: str) -> Decimal:
        number = cls(text)
        number.text = text
        return number


LONGEST_INTEGER = 400
"""Characters of a whole number that is read as one."""


def read(body: bytes) -> Any:
    """The value of a JSON text; raises SyntaxMistake. Invalid UTF-8 is replaced, as Go does."""
    text = body.decode("utf-8", "replace")
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return _Scanner(text).value()


def is_deeper(value: Any, levels: int) -> bool:
    """Whether a value is nested deeper than so many levels, found without recursion."""
    row = [value]
    for _ in range(levels):
        row = [
            item
            for one in row
            if isinstance(one, (dict, list))
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not row:
            return False
    return any(isinstance(one, (dict, list)) for one in row)


def unrepeated(value: Any) -> Any:
    """A copy of a value in which repeated names are forgotten."""
    if isinstance(value, dict):
        return {name: unrepeated(item) for name, item in value.items()}
    return [unrepeated(item) for item in value] if isinstance(value, list) else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else Repeated(pairs)


def _refuse(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=Decimal.of, parse_constant=_refuse)

_SPACE = frozenset(" \t\r\n")
_LITERALS = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_END = ""


class _Scanner:
    """Reads JSON character by character without recursion, with the messages of Go's scanner."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        """The character here, or "" at the end."""
        return self.text[self.at] if self.at < len(self.text) else _END

    def skip_space(self) -> str:
        while self.peek() in _SPACE and self.at < len(self.text):
            self.at += 1
        return self.peek()

    def mistake(self, context: str) -> SyntaxMistake:
        char = self.peek()
        if not char:
            return SyntaxMistake("unexpected end of JSON input")
        shown = {"'": "'\\''", '"': "'\"'"}.get(char) or f"'{_quoted_byte(char)}'"
        return SyntaxMistake(f"invalid character {shown} {context}")

    def value(self) -> Any:
        """The one value of the text."""
        open_values: list[tuple[list[Any] | list[tuple[str, Any]], bool]] = []
        names: list[str] = []
        while True:
            char = self.skip_space()
            if char in ("{", "["):
                if len(open_values) >= MAX_DEPTH:
                    raise self.mistake("exceeded max depth")
                self.at += 1
                is_object = char == "{"
                open_values.append(([], is_object))
                after = self.skip_space()
                if is_object and after != "}":
                    names.append(self.name())
                    continue
                if not is_object and after != "]":
                    continue
                self.at += 1
                done: Any = _closed(*open_values.pop())
            else:
                done = self.scalar(char)
            while open_values:
                items, is_object = open_values[-1]
                items.append((names.pop(), done) if is_object else done)
                char = self.skip_space()
                if char == ",":
                    self.at += 1
                    if is_object:
                        self.skip_space()
                        names.append(self.name())
                    break
                if char != ("}" if is_object else "]"):
                    raise self.mistake("after object key:value pair" if is_object else "after array element")
                self.at += 1
                done = _closed(*open_values.pop())
            else:
                if self.skip_space():
                    raise self.mistake("after top-level value")
                return done

    def name(self) -> str:
        """An object's key and the colon after it."""
        if self.peek() != '"':
            raise self.mistake("looking for beginning of object key string")
        name = self.string()
        if self.skip_space() != ":":
            raise self.mistake("after object key")
        self.at += 1
        return name

    def scalar(self, char: str) -> Any:
        if char == '"':
            return self.string()
        if char in _LITERALS:
            word, value = _LITERALS[char]
            for expected in word:
                if self.peek() != expected:
                    raise self.mistake(f"in literal {word} (expecting '{expected}')")
                self.at += 1
            return value
        if char == "-" or char.isdigit():
            return self.number()
        raise self.mistake("looking for beginning of value")

    def string(self) -> str:
        self.at += 1
        out: list[str] = []
        while True:
            char = self.peek()
            if char == '"':
                self.at += 1
                return "".join(out)
            if not char or char < " ":
                raise self.mistake("in string literal")
            self.at += 1
            out.append(self.escape() if char == "\\" else char)

    def escape(self) -> str:
        char = self.peek()
        if char == "u":
            self.at += 1
            start = self.at
            for _ in range(4):
                if self.peek() not in "0123456789abcdefABCDEF" or not self.peek():
                    raise self.mistake("in \\u hexadecimal character escape")
                self.at += 1
            return chr(int(self.text[start : self.at], 16))
        if char not in _ESCAPES:
            raise self.mistake("in string escape code")
        self.at += 1
        return _ESCAPES[char]

    def number(self) -> Any:
        start = self.at
        if self.peek() == "-":
            self.at += 1
        if self.peek() == "0":
            self.at += 1
        else:
            self.digits("in numeric literal")
        whole = True
        if self.peek() == ".":
            whole = False
            self.at += 1
            self.digits("after decimal point in numeric literal")
        if self.peek() in ("e", "E"):
            whole = False
            self.at += 1
            if self.peek() in ("+", "-"):
                self.at += 1
            self.digits("in exponent of numeric literal")
        text = self.text[start : self.at]
        # No field holds an integer of so many digits, and Python refuses to make one of thousands.
        return int(text) if whole and len(text) <= LONGEST_INTEGER else Decimal.of(text)

    def digits(self, context: str) -> None:
        if not ("0" <= self.peek() <= "9"):
            raise self.mistake(context)
        while "0" <= self.peek() <= "9":
            self.at += 1


def _closed(items: list[Any], is_object: bool) -> Any:
    return _object(items) if is_object else items


def _quoted_byte(char: str) -> str:
    """What Go shows of a character: the first byte of its UTF-8, as if that were a character."""
    first = char.encode("utf-8", "surrogatepass")[0]
    shown = chr(first)
    if shown.isprintable():
        return shown
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(shown, f"\\x{first:02x}" if first < 0x80 else f"\\u{first:04x}")
