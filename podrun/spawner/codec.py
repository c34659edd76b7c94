"""Frozen dataclasses to JSON and back, by their type hints alone.

A value travels as `{"t": "ClassName", ...fields that differ from their defaults}`; bytes as base64; tuples as lists;
enumerations as integers. An unknown class or field is an error, never ignored: what a newer podrund asks for may be a
restriction, and leaving it out in silence would run a process with more power than was meant.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
_Decode = Callable[[Any], Any]
_classes: dict[str, type] = {}
_defaults: dict[type, tuple[tuple[str, object], ...]] = {}


class CodecError(ValueError):
    """The text is not a message of this version of the protocol."""


@typing.dataclass_transform(frozen_default=True)
def message(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass that may travel; its name is its tag."""
    made: Any = dataclasses.dataclass(frozen=True, slots=True)(cls)
    _classes[made.__name__] = made
    _defaults[made] = tuple((field.name, field.default) for field in dataclasses.fields(made))
    return typing.cast(type[T], made)


def prepare() -> None:
    """Work out how each message is decoded now, not when the first of its kind comes (a millisecond for a plan)."""
    for cls in _classes.values():
        _decoders(cls)


def encode(value: object) -> dict[str, Any]:
    """The JSON object of an instance of a `message` class."""
    return typing.cast(dict[str, Any], _plain(value))


_AS_THEY_ARE = frozenset((str, int, bool, float, type(None)))


def _plain(value: object) -> Any:
    # By exact type first: a container's plan has hundreds of values, and nearly all of them are of these.
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    defaults = _defaults.get(kind)
    if defaults is not None:
        out: dict[str, Any] = {"t": kind.__name__}
        for name, default in defaults:
            item = getattr(value, name)
            if item is not default and item != default:
                out[name] = _plain(item)
        return out
    if isinstance(value, (str, float)):
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    raise TypeError(f"no way to send a {kind.__name__}")


def decode(data: object) -> Any:
    """The instance that `encode` made `data` from. Raises CodecError."""
    if not isinstance(data, dict):
        raise CodecError(f"an object was expected, not {type(data).__name__}")
    name = data.get("t")
    cls = _classes.get(name) if isinstance(name, str) else None
    if cls is None:
        raise CodecError(f"unknown message {name!r}")
    decoders = _decoders(cls)
    try:
        return cls(**{name: decoders[name](item) for name, item in data.items() if name != "t"})
    except KeyError as error:
        raise CodecError(f"{cls.__name__}: unknown field {error}") from None
    except (TypeError, ValueError) as error:
        raise CodecError(f"{cls.__name__}: {error}") from None


@cache
def _decoders(cls: type) -> dict[str, _Decode]:
    return {name: _decoder(hint) for name, hint in typing.get_type_hints(cls).items()}


def _decoder(hint: Any) -> _Decode:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        some = [a for a in arguments if a is not type(None)]
        if all(dataclasses.is_dataclass(a) for a in some):
            return lambda item: None if item is None else decode(item)
        inner = _decoder(some[0])
        return lambda item: None if item is None else inner(item)
    if origin is typing.Literal or hint is Any:
        return lambda item: item
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            each = _decoder(arguments[0])
            return lambda item: tuple([each(part) for part in item])
        parts = [_decoder(argument) for argument in arguments]
        return lambda item: tuple(part(value) for part, value in zip(parts, item, strict=True))
    if origin is dict:
        value_of = _decoder(arguments[1])
        return lambda item: {key: value_of(value) for key, value in item.items()}
    if hint is bytes:
        return base64.b64decode
    if isinstance(hint, type) and (dataclasses.is_dataclass(hint)):
        return decode
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return typing.cast(_Decode, hint)
    if hint in (str, bool, float) or (isinstance(hint, type) and issubclass(hint, int)):
        return _exactly((int, float) if hint is float else (hint if hint in (str, bool) else int))
    supertype = getattr(hint, "__supertype__", None)
    if supertype is not None:
        return _decoder(supertype)
    raise TypeError(f"no way to send a {hint}")


def _exactly(kind: type | tuple[type, ...]) -> _Decode:
    def check(item: Any) -> Any:
        if not isinstance(item, kind) or (isinstance(item, bool) and kind is not bool):
            raise TypeError(f"{item!r} is not {kind}")
        return item

    return check
