"""Words of a POSIX shell: quoting, and the names by which a script calls what podrun has elsewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

WORK, IMAGES, ROOT = "$WORK", "$IMAGES", "$root"
"""The script's own directory, the exported images, and the root of the container that is being made."""
_WIDTH = 96
_OURS = (WORK, IMAGES, ROOT)


def word(text: str) -> str:
    """One word, quoted; a path that begins with one of the script's variables has it expanded."""
    for name in _OURS:
        if text == name or text.startswith(f"{name}/"):
            rest = re.sub(r'([\\"$`])', r"\\\1", text[len(name) :])
            return f'"{name}{rest}"'
    return shlex.quote(text)


def at(path: str) -> str:
    """A path inside the container's root, as a word."""
    return word(f"{ROOT}/{path.lstrip('/')}".rstrip("/"))


def continued(beginning: str, words: Iterable[str], end: str) -> list[str]:
    """A command of many words, over as many lines as it takes."""
    lines, line = [], beginning
    for each in words:
        if len(line) + len(each) > _WIDTH and line != beginning:
            lines.append(f"{line} \\")
            line = f"    {each}"
        else:
            line += f" {each}"
    return [*lines, line + end]


def heading(text: str) -> str:
    """A comment that begins a section."""
    return f"# --- {text} " + "-" * max(100 - len(text) - 7, 3)


def name_of(text: str) -> str:
    """A name for files and functions: letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9]", "_", text)


def image_directory(reference: str) -> str:
    """The directory below $IMAGES that `podrun images export` is asked to fill for an image."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", reference)


def here_document(path: str, text: str) -> list[str]:
    """A file with this content. Nothing in it is expanded."""
    end = "END"
    while end in text.splitlines():
        end += "_"
    body = text if text.endswith("\n") else f"{text}\n"
    return [f"cat > {word(path)} <<'{end}'", *body.splitlines(), end]
