"""The images of this machine: what is here, and every way in and out.

    ROOT/index.json   which images there are          ROOT/layers/   their layers, unpacked
    ROOT/downloads/   halves of layers being pulled   ROOT/build/    the builder's cache
    ROOT/scratch/     what is unfinished; emptied when nobody is adding

A layer is complete or absent, and the index names only layers that are complete: a process that dies at any point
leaves nothing but scratch and layers that no image names, which the next garbage collection takes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from podrun.images import archive, build, manifests, recipe, reference
from podrun.images.credentials import of_file
from podrun.images.disk import remove_tree
from podrun.images.index import Contents, Index, Record
from podrun.images.intake import take_in
from podrun.images.layers import LayerRefused, Layers, Piece
from podrun.images.model import (
    Credentials,
    Image,
    ImageError,
    Limits,
    OnProgress,
    Progress,
    Reason,
    Source,
    ignore_progress,
)
from podrun.images.reference import Reference

if TYPE_CHECKING:
    from podrun.images.downloads import Downloads

_NO_MIRRORS: Mapping[str, Sequence[str]] = {}
_DEFAULT_LIMITS = Limits()


class _Coming:
    """A pull under way, and who wants to hear of it."""

    task: asyncio.Task[str]

    def __init__(self) -> None:
        self._listeners: list[OnProgress] = []

    def tell(self, progress: Progress) -> None:
        """Pass progress on to everyone who waits."""
        for listener in self._listeners:
            listener(progress)

    @contextmanager
    def listener(self, on_progress: OnProgress) -> Iterator[None]:
        """Pass progress on to this one, too, while the block lasts."""
        self._listeners.append(on_progress)
        try:
            yield
        finally:
            self._listeners.remove(on_progress)


class ImageStore:
    """A content-addressed store below one directory; safe to use from several processes at once.

    All methods belong to the event loop's thread; what takes time is done in child processes and threads.
    """

    def __init__(
        self,
        root: Path,
        *,
        mirrors: Mapping[str, Sequence[str]] = _NO_MIRRORS,
        limits: Limits = _DEFAULT_LIMITS,
        docker_config: Path | None = None,
    ) -> None:
        """`mirrors` gives, for a registry (`docker.io`), the addresses to ask before it, in order.

        `docker_config` is the machine's own Docker configuration (/root/.docker/config.json), for its log-ins.
        """
        self._root = root
        self._scratch = root / "scratch"
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for directory in (self._scratch, root / "layers", root / "downloads", root / "build"):
            directory.mkdir(exist_ok=True, mode=0o700)
        self._index = Index(root)
        self._layers = Layers(root / "layers", self._scratch, limits)
        self._limits = limits
        self._mirrors = mirrors
        self._docker_config = docker_config
        self._pulls: dict[tuple[str, tuple[Credentials, ...]], _Coming] = {}
        self._known: tuple[Contents, dict[str, Image]] = (Contents(), {})

    def get(self, name: str) -> Image | None:
        """The image a pod means by `name` (also by its id, whole); ImageError InvalidImageName."""
        images = self._images()
        if name.startswith("sha256:") and name in images:
            return images[name]
        wanted = reference.parse(name)
        contents = self._index.read()
        if wanted.digest:
            by_digest = f"{wanted.name}@{wanted.digest}"
            return next((one for one in images.values() if by_digest in one.digests), None)
        return images.get(contents.names.get(str(wanted), ""))

    def list(self) -> tuple[Image, ...]:
        """Every image, by name; those without one come last."""
        return tuple(sorted(self._images().values(), key=lambda one: (not one.references, one.references, one.id)))

    async def build(self, path: Path, on_progress: OnProgress = ignore_progress) -> Image:
        """Make what a recipe (images/NAME.yaml) says; an unchanged one is answered from the store.

        A stand-in does not take a name from a real image. Raises recipe.RecipeError.
        """
        what = await build.plan(path, recipe.read(path))
        title = reference.parse(what.recipe.names[0]).familiar
        contents = self._index.read()
        found = next((key for key, record in contents.images.items() if record.recipe == what.key), None)
        async with self._adding():
            if found is None or not self._complete(contents.images[found]):
                builder = build.Builder(self._layers, self._root / "build", self._scratch)
                try:
                    configuration = await builder.build(what, on_progress)
                except LayerRefused as error:
                    raise recipe.RecipeError(f"{path}: {error}") from None
                found = build.image_id(configuration)
                diff_ids = manifests.diff_ids_of(configuration)
                record = Record(configuration, diff_ids, Source.BUILT, what.recipe.stand_in, what.key)
            else:
                on_progress(Progress(title, "unchanged"))
                record = contents.images[found]
            await asyncio.to_thread(self._name, found, record, what.recipe.names, what.recipe.stand_in)
        on_progress(Progress(title, "done"))
        return self._images()[found]

    async def load(self, path: Path, on_progress: OnProgress = ignore_progress) -> tuple[Image, ...]:
        """Take in a `docker save` file, an OCI archive or an OCI directory; gives the images it held.

        Layers that are here are not read. Raises archive.ArchiveError; of a refused archive nothing stays.
        """
        loaded: list[str] = []
        async with self._adding() as fresh:
            with ExitStack() as stack:
                opening = archive.opened(path, self._scratch, self._limits)
                for stored in await asyncio.to_thread(stack.enter_context, opening):
                    await self._load_one(path, stored, on_progress, fresh)
                    loaded.append(stored.id)
        images = self._images()
        return tuple(images[image_id] for image_id in loaded)

    async def pull(
        self,
        name: str,
        credentials: Sequence[Credentials] = (),
        on_progress: OnProgress = ignore_progress,
    ) -> Image:
        """Get the image from its registry; pulls of one image at the same time become one.

        `credentials` are log-ins for this registry (see `credentials.of_secrets`), tried in order before the ones of
        the machine's Docker configuration; without any the pull is anonymous. Raises ImageError.
        """
        wanted = reference.parse(name)
        key = (str(wanted), tuple(credentials))
        coming = self._pulls.get(key)
        if coming is None:
            coming = self._pulls[key] = _Coming()
            coming.task = asyncio.ensure_future(self._pull(wanted, credentials, coming.tell))
            coming.task.add_done_callback(lambda _: self._pulls.pop(key))
        with coming.listener(on_progress):
            # one who waits may be cancelled (its pod is deleted) while others go on waiting
            image_id = await asyncio.shield(coming.task)
        return self._images()[image_id]

    async def _pull(self, wanted: Reference, given: Sequence[Credentials], on_progress: OnProgress) -> str:
        from podrun.images.pull import Pull, PullFailed, places  # late, as `_downloads`

        logins: list[Credentials | None] = [*given, *self._machine_logins(wanted)]
        where = places(wanted, self._mirrors.get(wanted.domain, ()))
        pull = Pull(wanted, self._layers, self._downloads, on_progress)
        failures: list[PullFailed] = []
        async with self._adding() as fresh:
            for login in logins or [None]:
                try:
                    pulled = await pull.run(where, login, fresh)
                    break
                except PullFailed as error:
                    failures.append(error)
            else:
                said = list(dict.fromkeys(str(failure) for failure in failures))
                message = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
                raise ImageError(str(wanted), Reason.PULL, message)
            record = Record(pulled.config, manifests.diff_ids_of(pulled.config), Source.PULLED)
            record.digests = [f"{wanted.name}@{pulled.digest}"]
            await asyncio.to_thread(self._name, pulled.id, record, () if wanted.digest else (str(wanted),))
        on_progress(Progress(wanted.familiar, "done"))
        return pulled.id

    @cached_property
    def _downloads(self) -> Downloads:
        # aiohttp takes 100 ms to import: who lists, loads or builds images does without
        from podrun.images.downloads import Downloads

        return Downloads(self._root / "downloads")

    def _machine_logins(self, wanted: Reference) -> tuple[Credentials, ...]:
        return of_file(self._docker_config, wanted) if self._docker_config is not None else ()

    async def _load_one(self, path: Path, stored: archive.Stored, on_progress: OnProgress, fresh: set[str]) -> None:
        async def piece_of(number: int) -> Piece:
            return stored.layers[number]

        diff_ids = manifests.diff_ids_of(stored.config)
        try:
            await take_in(self._layers, diff_ids, piece_of, on_progress, fresh)
        except LayerRefused as error:
            raise archive.ArchiveError(f"{path}: {error}") from None
        record = Record(stored.config, diff_ids, Source.LOADED)
        await asyncio.to_thread(self._name, stored.id, record, stored.names)
        on_progress(Progress(", ".join(stored.names) or stored.id, "done"))

    async def remove(self, name: str) -> bool:
        """Forget a name, or, by id (also its beginning, as listed), an image with all its names; whether it was here.

        Its layers stay until the next garbage collection, which spares those that containers use.
        """
        if image_id := self._id_of(name):
            await asyncio.to_thread(self._forget, image_id)
            return True
        wanted = reference.parse(name)
        image = self.get(name)
        if image is not None:
            await asyncio.to_thread(self._forget_name, image.id, wanted)
        return image is not None

    def _id_of(self, text: str) -> str:
        """The one id that begins like this, "" when there is none."""
        digits = text.removeprefix("sha256:")
        if not re.fullmatch("[a-f0-9]{6,64}", digits):
            return ""
        found = [key for key in self._images() if key.startswith(f"sha256:{digits}")]
        return found[0] if len(found) == 1 else ""

    def _forget(self, image_id: str) -> None:
        with self._index.change() as contents:
            contents.names = {key: value for key, value in contents.names.items() if value != image_id}
            contents.drop_unnamed(image_id)

    def _forget_name(self, image_id: str, wanted: Reference) -> None:
        with self._index.change() as contents:
            if wanted.digest and image_id in contents.images:
                contents.images[image_id].digests.remove(f"{wanted.name}@{wanted.digest}")
            contents.names.pop(str(wanted), None)
            contents.drop_unnamed(image_id)

    async def garbage_collect(self, in_use: Collection[Path] = ()) -> int:
        """Remove layers of no image, and scratch; `in_use` are layers of containers. Gives the bytes freed.

        Does nothing while anyone is adding images: layers come before the image that names them.
        """
        with self._alone() as alone:
            if not alone:
                return 0
            named = self._named()
            doomed = [
                facts.diff_id
                for facts in self._layers
                if facts.diff_id not in named and self._layers.path(facts.diff_id) not in in_use
            ]
            return await asyncio.to_thread(self._sweep, doomed)

    def _sweep(self, doomed: Collection[str]) -> int:
        freed = self._discard(doomed)
        self._layers.drop_stray_notes()
        self._downloads.drop_abandoned()
        for left in self._scratch.iterdir():
            remove_tree(left)
        return freed

    def _discard(self, doomed: Collection[str]) -> int:
        return sum(self._layers.remove(diff_id) for diff_id in doomed)

    def _images(self) -> dict[str, Image]:
        """Every complete image, by id; made anew only when the index has changed."""
        contents = self._index.read()
        if contents is not self._known[0]:
            images = {
                key: self._image(key, record, contents)
                for key, record in contents.images.items()
                if self._complete(record)
            }
            self._known = (contents, images)
        return self._known[1]

    def _image(self, image_id: str, record: Record, contents: Contents) -> Image:
        facts = [self._layers.facts(diff_id) for diff_id in record.diff_ids]
        return Image(
            id=image_id,
            references=contents.names_of(image_id),
            digests=tuple(record.digests),
            config=manifests.image_config(record.config),
            layers=tuple(self._layers.path(diff_id) for diff_id in record.diff_ids),
            size=sum(one.bytes for one in facts if one is not None),
            source=Source(record.source),
            stand_in=record.stand_in,
            created=str(record.config.get("created") or ""),
        )

    def _complete(self, record: Record) -> bool:
        return all(self._layers.facts(diff_id) is not None for diff_id in record.diff_ids)

    def _name(self, image_id: str, record: Record, names: Sequence[str], yield_to_real: bool = False) -> None:
        """Put an image into the index under its names, taking them from whichever image has had them.

        With `yield_to_real` a name stays with an image that is no stand-in.
        """
        with self._index.change() as contents:
            known = contents.images.get(image_id)
            if known is not None:
                record.digests = sorted({*known.digests, *record.digests})
            contents.images[image_id] = record
            for name in names:
                before = contents.names.get(name, "")
                if yield_to_real and before in contents.images and not contents.images[before].stand_in:
                    continue
                contents.names[name] = image_id
                if before != image_id:
                    contents.drop_unnamed(before)

    @asynccontextmanager
    async def _adding(self) -> AsyncIterator[set[str]]:
        """Held while layers may be here that no image names yet; gives the set to note new ones in.

        When the block fails, those that no image has come to name are removed, unless someone else is adding (who
        may have found one of them here): then the next garbage collection does it.
        """
        fresh: set[str] = set()
        fd = self._open_lock()
        try:
            # a garbage collection of another process may take seconds
            await asyncio.to_thread(fcntl.flock, fd, fcntl.LOCK_SH)
            yield fresh
        except BaseException:
            fcntl.flock(fd, fcntl.LOCK_UN)
            with self._alone() as alone:
                if alone:
                    await asyncio.to_thread(self._discard, fresh - self._named())
            raise
        finally:
            os.close(fd)

    def _named(self) -> set[str]:
        """The layers that images consist of."""
        return {diff_id for record in self._index.read().images.values() for diff_id in record.diff_ids}

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether nobody, in any process, is adding; if so, nobody can begin before the block ends."""
        fd = self._open_lock()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(fd)

    def _open_lock(self) -> int:
        return os.open(self._root / "adding.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
