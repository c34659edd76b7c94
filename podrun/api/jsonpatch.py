"""RFC 6902 patches as the API server applies them, which is a little more generous than the RFC.

`replace` of a member that is not there adds it, `copy` of one gives null, a negative index counts from the end. (The
package `jsonpatch` follows the RFC and refuses these.) Source: gopkg.in/evanphx/json-patch.v4.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from podrun.api import gotext
from podrun.api.jsontext import Decimal

Object = dict[str, Any]
Container = dict[str, Any] | list[Any]

_MISSING = object()
MOST_COPIED = 3 << 20
"""Bytes of JSON that all copies of one patch may make: a few dozen operations could else double an object each.

apiserver sets jsonpatch.AccumulatedCopySizeLimit to the size of a body.
"""
_COPIED = "copied"
"""Where the document's holder counts them; the document is at ""."""
_LONGEST_INDEX = 20
_INDEX = re.compile(r"[-+]?\d+", re.ASCII)


class PatchFails(ValueError):
    """An operation cannot be carried out, or a test is not met."""


def apply(document: Any, operations: list[Object]) -> Any:
    """`document` changed by the operations, in order; raises PatchFails. `document` itself stays as it is."""
    root = {"": copy.deepcopy(document), _COPIED: 0}
    for operation in operations:
        verb = _VERBS.get(operation.get("op") or "")
        if verb is None:
            raise PatchFails(f"unexpected kind: {operation.get('op')}")
        verb(root, operation)
    return root[""]


def _parent(root: Object, pointer: Any, *, whole: bool = False) -> tuple[Container, str]:
    """The object or list that a JSON pointer's last part is in, and that part.

    The empty pointer means the `whole` document; only `replace` and `test` take it.
    """
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise PatchFails(f"invalid pointer {pointer!r}")
    if not pointer:
        if not whole:
            raise PatchFails("the whole document can only be replaced or tested")
        return root, ""
    place: Any = root[""]
    *above, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    for part in above:
        place = _get(_container(place, pointer), part)
    return _container(place, pointer), last


def _container(place: Any, pointer: str) -> Container:
    if not isinstance(place, (dict, list)):
        raise PatchFails(f"missing path {pointer}")
    return place


def _index(items: list[Any], key: str, end: int) -> int:
    if not _INDEX.fullmatch(key) or len(key) > _LONGEST_INDEX:
        raise PatchFails(f"invalid index {key!r}")
    index = int(key)
    if not -end <= index < end:
        raise PatchFails(f"index {index} is out of bounds")
    return index + end if index < 0 else index


def _get(place: Container, key: str) -> Any:
    if isinstance(place, dict):
        return place.get(key, _MISSING)
    return place[_index(place, key, len(place))]


def _set(place: Container, key: str, value: Any) -> None:
    if isinstance(place, dict):
        place[key] = value
    else:
        place[_index(place, key, len(place))] = value


def _insert(place: Container, key: str, value: Any) -> None:
    if isinstance(place, dict):
        place[key] = value
    elif key == "-":
        place.append(value)
    else:
        place.insert(_index(place, key, len(place) + 1), value)


def _delete(place: Container, key: str) -> None:
    if isinstance(place, list):
        del place[_index(place, key, len(place))]
    elif key in place:
        del place[key]
    else:
        raise PatchFails(f"unable to remove nonexistent key: {key}")


def _add(root: Object, operation: Object) -> None:
    _insert(*_parent(root, operation.get("path")), copy.deepcopy(operation.get("value")))


def _remove(root: Object, operation: Object) -> None:
    _delete(*_parent(root, operation.get("path")))


def _replace(root: Object, operation: Object) -> None:
    _set(*_parent(root, operation.get("path"), whole=True), copy.deepcopy(operation.get("value")))


def _move(root: Object, operation: Object) -> None:
    place, key = _parent(root, operation.get("from"))
    value = _get(place, key)
    _delete(place, key)
    _insert(*_parent(root, operation.get("path")), value)


def _copy(root: Object, operation: Object) -> None:
    value = _get(*_parent(root, operation.get("from")))
    root[_COPIED] += 0 if value is _MISSING else len(gotext.compact_json(value))
    if root[_COPIED] > MOST_COPIED:
        raise PatchFails("too much is copied")
    _insert(*_parent(root, operation.get("path")), None if value is _MISSING else copy.deepcopy(value))


def _test(root: Object, operation: Object) -> None:
    value = _get(*_parent(root, operation.get("path"), whole=True))
    if not _same(None if value is _MISSING else value, operation.get("value")):
        raise PatchFails(f"testing value {operation.get('path')} failed")


def _same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; numbers are when they are written alike."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return left.text == right.text
    return type(left) is type(right) and bool(left == right)


_VERBS: dict[str, Callable[[Object, Object], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
