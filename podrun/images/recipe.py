"""Recipes of the images that podrun builds (images/NAME.yaml): read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from podrun.images.model import ImageError
from podrun.images.reference import parse


class RecipeError(Exception):
    """A recipe cannot be read, or what it asks for cannot be made; the sentence names the file."""


def _absolute(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not an absolute path without '..'")
    return path


def _name(text: str) -> str:
    try:
        return str(parse(text))
    except ImageError as error:
        raise ValueError(error.message) from None


def _octal(text: str) -> int:
    """Modes are written "1777": YAML's own octal numbers are read differently by different tools."""
    mode = int(text, 8)
    if not 0 <= mode <= 0o7777:
        raise ValueError(f"{text} is not a file mode")
    return mode


AbsolutePath = Annotated[str, AfterValidator(_absolute)]
ImageName = Annotated[str, AfterValidator(_name)]


class Part(BaseModel):
    """The base of a recipe's parts: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GoProgram(Part):
    """A Go program of the standard library only, compiled statically."""

    source: str
    """Directory beside the recipe."""
    to: AbsolutePath


class Applets(Part):
    """Hard links for every applet that a busybox has, where nothing else has the name."""

    busybox: AbsolutePath
    directory: AbsolutePath
    renamed: dict[str, str] = {}
    """Applet -> another name of the same length in the program's table. Debian's busybox sh runs an applet before it
    looks for a program of that name: a script can only take an applet's place where the applet is called otherwise."""


class LayerRecipe(Part):
    """One layer, composed in the order of the fields; what comes later replaces what is there."""

    directories: dict[AbsolutePath, str] = {}
    """Path -> mode, as octal digits."""
    links: dict[AbsolutePath, str] = {}
    """Path -> where the symbolic link leads."""
    packages: tuple[str, ...] = ()
    """Debian packages, unpacked together with everything they depend on; their scripts do not run."""
    without: tuple[str, ...] = ()
    """Dependencies that are left out, as names or patterns (`libllvm*`): what only those scripts need, or what the
    image's program does without."""
    package_files: dict[AbsolutePath, str] = {}
    """Path -> the one Debian package that this single file is taken from (the path is the same there)."""
    go: GoProgram | None = None
    files: dict[AbsolutePath, str] = {}
    """Path -> content (mode 0644)."""
    programs: dict[AbsolutePath, str] = {}
    """Path -> content of a script (mode 0755)."""
    applets: Applets | None = None

    def mode(self, path: str) -> int:
        """The mode of a directory of this layer."""
        return _octal(self.directories[path])


class ConfigRecipe(Part):
    """The image's configuration, in Kubernetes' and Docker's common words."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: dict[str, str] = {}
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    exposed_ports: tuple[str, ...] = ()
    labels: dict[str, str] = {}


class Recipe(Part):
    """An image: its names, its layers from the lowest up, and its configuration."""

    names: tuple[ImageName, ...] = Field(min_length=1)
    stand_in: bool = False
    """Whether it only stands in for the image its names mean: `images ls` says so, and a pull replaces it."""
    layers: tuple[LayerRecipe, ...] = ()
    config: ConfigRecipe = ConfigRecipe()


def read(path: Path) -> Recipe:
    """The recipe in a file; raises RecipeError."""
    try:
        recipe = Recipe.model_validate(yaml.safe_load(path.read_text()))
        for layer in recipe.layers:
            for directory in layer.directories:
                layer.mode(directory)
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise RecipeError(f"{path}: {where}: {first['msg']}") from None
    except ValueError as error:
        raise RecipeError(f"{path}: {error}") from None
    return recipe
