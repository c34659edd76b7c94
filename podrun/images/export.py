"""An image's root file system written to a directory: its layers one above the other, as a container sees them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from podrun.images.model import Image
from podrun.kernel import mounts, namespaces
from podrun.kernel.flags import Clone, MountFlags


class ExportFailed(Exception):
    """The text says why."""


def export(image: Image, directory: Path) -> None:
    """Write it to `directory`, which must be empty or not there. Needs root. Raises ExportFailed, OSError.

    A child process mounts the layers in a mount namespace of its own and copies what it sees there, with owners, links
    and extended attributes: whiteouts and opaque directories are the kernel's business.
    """
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise ExportFailed(f"{directory} is not empty")
    with tempfile.TemporaryDirectory() as point, tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            _copy(image.layers, point, directory, said.fileno())
        _, status = os.waitpid(pid, 0)
        if status:
            said.seek(0)
            raise ExportFailed(said.read().decode(errors="replace").strip() or "the copy was killed")


def _copy(layers: tuple[Path, ...], point: str, directory: Path, output: int) -> None:
    """The child: does not return."""
    try:
        os.dup2(output, 2)
        source = str(layers[0])
        if len(layers) > 1:
            namespaces.unshare(Clone.MNT)
            mounts.set_propagation("/", MountFlags.PRIVATE | MountFlags.REC)
            with mounts.lower_layers([str(layer) for layer in reversed(layers)]) as options:
                mounts.mount("overlay", point, "overlay", MountFlags.RDONLY, options)
            source = point
        done = subprocess.run(["cp", "--archive", "--no-target-directory", source, str(directory)], check=False)
        os._exit(done.returncode)
    except OSError as error:
        os.write(2, str(error).encode())
    finally:
        os._exit(1)
