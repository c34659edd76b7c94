"""Answers as YAML, spelled as Kubernetes spells them: keys sorted, ambiguous strings in double quotes."""

from __future__ import annotations

from typing import Any

import yaml

_STRING = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    def represent_text(self, text: str) -> yaml.ScalarNode:
        if "\n" in text:
            style = "|"
        elif self.resolve(yaml.ScalarNode, text, (True, False)) != _STRING:  # type: ignore[no-untyped-call]
            style = '"'
        else:
            style = None
        return self.represent_scalar(_STRING, text, style=style)

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(str, _Dumper.represent_text)


def dump(value: Any) -> bytes:
    """The YAML text of a JSON value."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=1 << 20)
    return text.encode()
