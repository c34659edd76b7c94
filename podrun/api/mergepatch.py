"""RFC 7386 merge patches: objects are merged, null deletes, everything else replaces."""

from __future__ import annotations

from typing import Any


def apply(document: Any, patch: Any) -> Any:
    """`document` with `patch` merged into it; neither is changed."""
    if not isinstance(document, dict):
        return _without_nulls(patch)
    if not isinstance(patch, dict):
        return patch
    merged = dict(document)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif merged.get(name) is None:
            merged[name] = _without_nulls(value)
        else:
            merged[name] = apply(merged[name], value)
    return merged


def _without_nulls(value: Any) -> Any:
    """What a patch says about a place where nothing is: its nulls have nothing to delete."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
