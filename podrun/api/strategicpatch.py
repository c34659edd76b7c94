"""Strategic merge patches: merging by what the schema says of lists, and by directives in the patch.

Lists with a merge strategy are merged, those of objects by their merge key; others are replaced. Directives:
`$patch: replace|delete` in an object or list element, `$deleteFromPrimitiveList/x`, `$setElementOrder/x`,
`$retainKeys`. Source of the rules and of the order of elements: apimachinery/pkg/util/strategicpatch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from podrun.api import gotext
from podrun.api.schema import Schema, Type
from podrun.api.unstructured import go_kind

Object = dict[str, Any]
Items = list[Any]

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_PREFIX = "$deleteFromPrimitiveList"
ORDER_PREFIX = "$setElementOrder"

BAD_DELETE_LIST = "invalid patch format of primitive list"
BAD_ORDER_LIST = "invalid patch format of setElementOrder list"
BAD_RETAIN_KEYS = "invalid patch format of retainKeys"
LISTS_OF_LISTS = "lists of lists are not supported"

_GO_TYPES = {"map": "map[string]interface {}", "slice": "[]interface {}"}


class BadPatch(ValueError):
    """The patch cannot be applied; `refused` tells whether Kubernetes blames the client (400 or 422) or itself."""

    def __init__(self, message: str, code: int = 500) -> None:
        super().__init__(message)
        self.code = code


def apply(schema: Schema, definition: str, document: Object, patch: Object) -> Object:
    """`document` (an object of the definition) with `patch` merged into it; raises BadPatch. Neither is changed."""
    kind = Type("struct", "", definition)
    return _Merger(schema).maps(copy.deepcopy(document), copy.deepcopy(patch), kind)


class _Merger:
    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def maps(self, original: Object, patch: Object, kind: Type) -> Object:
        """`patch` merged into `original`; both are used up."""
        if DIRECTIVE in patch:
            directive = patch[DIRECTIVE]
            if directive == "replace":
                del patch[DIRECTIVE]
                return patch
            if directive == "delete":
                return {}
            raise _unknown_directive(directive, patch)
        self.retain_keys(original, patch)
        self.ordered_lists(original, patch, kind)
        for key, value in patch.items():
            is_delete_list = key.startswith(DELETE_PREFIX)
            name = _after(key, DELETE_PREFIX, BAD_DELETE_LIST) if is_delete_list else key
            if value is None:
                original.pop(name, None)
            elif name not in original or go_kind(original[name]) != go_kind(value):
                if not is_delete_list:
                    _keep(original, name, _without_nulls(value))
            elif isinstance(value, dict):
                inner, strategy, _ = self.field(kind, name)
                original[name] = value if strategy == "replace" else self.maps(original[name], value, inner)
            elif isinstance(value, list):
                inner, strategy, merge_key = self.list_field(kind, name)
                merges = strategy == "merge" or is_delete_list
                if merges:
                    original[name] = self.lists(original[name], value, inner, merge_key, is_delete_list)
                else:
                    original[name] = value
            else:
                original[name] = value
        return original

    def retain_keys(self, original: Object, patch: Object) -> None:
        """Drop from `original` what `$retainKeys` does not name."""
        if RETAIN_KEYS not in patch:
            return
        names = patch.pop(RETAIN_KEYS)
        if not isinstance(names, list):
            raise BadPatch(BAD_RETAIN_KEYS, 400)
        for key, value in patch.items():
            if value is not None and not key.startswith((DELETE_PREFIX, ORDER_PREFIX)) and key not in names:
                raise BadPatch(BAD_RETAIN_KEYS, 400)
        for key in [key for key in original if key not in names]:
            del original[key]

    def ordered_lists(self, original: Object, patch: Object, kind: Type) -> None:
        """Merge the lists whose order the patch gives, and put them in it."""
        for key in [key for key in patch if key.startswith(ORDER_PREFIX)]:
            order = patch.pop(key)
            if not isinstance(order, list):
                raise _bad_type("slice", order)
            name = _after(key, ORDER_PREFIX, BAD_ORDER_LIST)
            ours, theirs = original.get(name), patch.get(name)
            for value, given in ((ours, name in original), (theirs, name in patch)):
                if given and not isinstance(value, list):
                    raise _bad_type("slice", value)
            inner, strategy, merge_key = self.list_field(kind, name)
            _check_order(theirs or [], order, merge_key)
            if name not in patch:
                if name not in original:
                    continue
                merged = original[name]
            elif name not in original:
                merged = _without_directives(theirs)
            elif strategy == "merge":
                merged = self.lists(copy.deepcopy(ours or []), theirs or [], inner, merge_key, False)
            else:
                merged = theirs
            in_order, others = _partition(merged, order, merge_key)
            of_maps = _element_kind(ours or [], theirs or []) == "map"
            identify = _identity(merge_key if of_maps else "")
            original[name] = _in_order(in_order, others, order, ours or [], identify)
            patch.pop(name, None)

    def lists(self, original: Items, patch: Items, kind: Type, merge_key: str, is_delete_list: bool) -> Items:
        """Two lists merged: scalars as sets, objects by their merge key."""
        if not original and not patch:
            return original
        of_maps = _element_kind(original, patch) == "map"
        if not of_maps:
            if is_delete_list:
                return [item for item in original if item not in patch]
            merged = _deduplicated(original + patch)
        else:
            if not merge_key:
                raise BadPatch(f"cannot merge lists without merge key for {kind.shape}")
            original, patch = self.directives_in_list(original, patch, merge_key)
            merged = list(original)
            for item in patch:
                if merge_key not in item:
                    raise _no_merge_key(item, merge_key)
                at = _find(merged, merge_key, item[merge_key])
                if at is None:
                    merged.append(item)
                else:
                    merged[at] = self.maps(merged[at], item, kind)
        in_patch, others = _partition(merged, patch, merge_key)
        return _in_order(in_patch, others, patch, original, _identity(merge_key if of_maps else ""))

    def directives_in_list(self, original: Items, patch: Items, merge_key: str) -> tuple[Items, Items]:
        """Carry out the elements that are directives; what is left of both lists."""
        plain: Items = []
        replace = False
        for item in patch:
            if DIRECTIVE not in item:
                plain.append(item)
                continue
            directive = item[DIRECTIVE]
            if directive == "delete":
                if merge_key not in item:
                    raise _no_merge_key(item, merge_key)
                original = [one for one in original if one.get(merge_key) != item[merge_key]]
            elif directive == "replace":
                replace = True
            elif directive == "merge":
                raise BadPatch("merging lists cannot yet be specified in the patch")
            else:
                raise _unknown_directive(directive, item)
        return (plain, []) if replace else (original, plain)

    def field(self, kind: Type, name: str) -> tuple[Type, str, str]:
        """The type, strategy and merge key of a field; raises BadPatch when there is none."""
        if kind.shape != "struct":
            raise BadPatch(f"merging an object in json but data type is not struct, instead is: {kind.shape}")
        struct = self.schema.struct(kind.definition)
        found = struct.fields.get(name)
        if found is None:
            raise BadPatch(f"unable to find api field in struct {struct.name} for the json field {gotext.quote(name)}")
        others = [strategy for strategy in found.strategy if strategy != "retainKeys"]
        return found.type, others[0] if others else "", found.merge_key

    def list_field(self, kind: Type, name: str) -> tuple[Type, str, str]:
        """The same for a list: the type of its elements."""
        found, strategy, merge_key = self.field(kind, name)
        if found.items is None:
            raise BadPatch(f"expected slice or array type, but got: {kind.shape}")
        return found.items, strategy, merge_key


def _after(key: str, prefix: str, otherwise: str) -> str:
    head, slash, name = key.partition("/")
    if not slash or head != prefix:
        raise BadPatch(otherwise, 400)
    return name


def _keep(original: Object, name: str, value: Any) -> None:
    """Take a value of the patch for a place where nothing like it is."""
    if isinstance(value, dict) and DIRECTIVE in value:
        original.pop(name, None)
    else:
        original[name] = _without_directives(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _without_directives(value: Any) -> Any:
    """A value without the objects that hold `$patch`."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if not (isinstance(item, dict) and DIRECTIVE in item)}
        return {name: _without_directives(item) for name, item in kept.items()}
    if isinstance(value, list):
        return [_without_directives(item) for item in value if not (isinstance(item, dict) and DIRECTIVE in item)]
    return value


def _element_kind(*lists: Items) -> str:
    kinds = [go_kind(item) if item is not None else "nil" for items in lists for item in items]
    if kinds[:1] == ["slice"]:
        raise BadPatch(LISTS_OF_LISTS, 422)
    if len(set(kinds)) > 1:
        raise BadPatch(f"list element types are not identical: [{' '.join(gotext.plain(items) for items in lists)}]")
    if not kinds:
        raise BadPatch("no elements in any of the given slices")
    return kinds[0]


def _deduplicated(items: Items) -> Items:
    """Without repetitions; the last element fills each gap, as in Kubernetes."""
    items = list(items)
    at = 0
    while at < len(items):
        other = at + 1
        while other < len(items):
            if items[at] == items[other] and type(items[at]) is type(items[other]):
                items[other] = items[-1]
                items.pop()
            else:
                other += 1
        at += 1
    return items


def _find(items: Items, key: str, value: Any) -> int | None:
    for at, item in enumerate(items):
        if not isinstance(item, dict):
            raise BadPatch(f"value for key {at} is not a map")
        if key in item and item[key] == value:
            return at
    return None


def _partition(merged: Items, by: Items, merge_key: str) -> tuple[Items, Items]:
    """The elements of `merged` that are also in `by`, and the others."""
    inside: Items = []
    outside: Items = []
    for item in merged:
        if not merge_key:
            found = item in by
        else:
            if not isinstance(item, dict):
                raise _bad_type("map", item)
            if merge_key not in item:
                raise _no_merge_key(item, merge_key)
            found = _find(by, merge_key, item[merge_key]) is not None
        (inside if found else outside).append(item)
    return inside, outside


def _check_order(patch: Items, order: Items, merge_key: str) -> None:
    """The patch's elements must come in the order that `$setElementOrder` gives, and be among its elements."""
    if not order or not patch:
        return
    left = [item for item in patch if not (isinstance(item, dict) and DIRECTIVE in item)]
    at = 0
    for wanted in order:
        if at < len(left) and _key_of(left[at], merge_key) == _key_of(wanted, merge_key):
            at += 1
    if at < len(left):
        listed, given = gotext.plain(patch), gotext.plain(order)
        raise BadPatch(f"The order in patch list:\n{listed}\n doesn't match {ORDER_PREFIX} list:\n{given}\n")


def _key_of(item: Any, merge_key: str) -> Any:
    if not merge_key:
        return item
    if not isinstance(item, dict):
        raise _bad_type("map", item)
    if merge_key not in item:
        raise _no_merge_key(item, merge_key)
    return item[merge_key]


def _identity(merge_key: str) -> Callable[[Any], Any]:
    """What an element is found by."""
    if not merge_key:
        return lambda item: item
    return lambda item: item.get(merge_key) if isinstance(item, dict) else None


def _in_order(inside: Items, others: Items, order: Items, live: Items, identify: Callable[[Any], Any]) -> Items:
    """The elements in the given order, those that only the server knows where they stood among them."""
    wanted, lived = [identify(item) for item in order], [identify(item) for item in live]
    left, right = _sorted_by(others, lived, identify), _sorted_by(inside, wanted, identify)
    merged: Items = []
    while left and right:
        ours, theirs = identify(left[0]), identify(right[0])
        before = ours in lived and theirs in lived and lived.index(ours) < lived.index(theirs)
        merged.append(left.pop(0) if before else right.pop(0))
    return merged + left + right


def _sorted_by(items: Items, order: list[Any], identify: Callable[[Any], Any]) -> Items:
    """Stable insertion by place in `order`; an element that is not in it moves to the front, as in Kubernetes."""
    out: Items = []
    for item in items:
        place = order.index(identify(item)) if identify(item) in order else None
        at = len(out)
        while at > 0:
            other = identify(out[at - 1])
            if place is not None and other in order and place >= order.index(other):
                break
            at -= 1
        out.insert(at, item)
    return out


def _unknown_directive(directive: Any, item: Object) -> BadPatch:
    return BadPatch(f"unknown patch type: {gotext.plain(directive)} in map: {gotext.plain(item)}")


def _no_merge_key(item: Object, merge_key: str) -> BadPatch:
    return BadPatch(f"map: {gotext.plain(item)} does not contain declared merge key: {merge_key}")


def _bad_type(expected: str, actual: Any) -> BadPatch:
    kind = "%!s(<nil>)" if actual is None else go_kind(actual)
    return BadPatch(f"expected a {_GO_TYPES[expected]}, but received a {_GO_TYPES.get(kind, kind)}")
