"""Take the layers of one image in, side by side, telling how far they are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence

from podrun.images.layers import LayerRefused, Layers, Piece
from podrun.images.model import OnProgress, Progress

PieceOf = Callable[[int], Awaitable[Piece]]
"""Gives the archive of layer number N (from the lowest, 0): at once, or when it has been downloaded."""

_AT_ONCE = max(2, os.cpu_count() or 2)


async def take_in(
    layers: Layers, diff_ids: Sequence[str], piece_of: PieceOf, on_progress: OnProgress, fresh: set[str]
) -> None:
    """Have every layer unpacked in the store; those that were not there before are added to `fresh`.

    `piece_of` is not asked for a layer that is here. Raises LayerRefused naming the layer, or what `piece_of`
    raises; whoever called can undo what `fresh` says.
    """
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        diff_id = diff_ids[number]
        short = diff_id.removeprefix("sha256:")[:12]
        if layers.facts(diff_id) is not None:
            on_progress(Progress(short, "present"))
            return
        piece = await piece_of(number)
        async with turns:
            try:
                facts = await layers.add(piece, diff_id, lambda done: on_progress(Progress(short, "unpacking", done)))
            except LayerRefused as error:
                raise LayerRefused(f"layer {short} is refused: {error}") from None
            finally:
                # cancelled at the last moment, a layer is here all the same
                if layers.facts(diff_id) is not None:
                    fresh.add(diff_id)
        on_progress(Progress(short, "unpacked", facts.bytes, facts.bytes))

    tasks = [asyncio.ensure_future(one(number)) for number in _distinct(diff_ids)]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _distinct(diff_ids: Sequence[str]) -> list[int]:
    """An image may have a layer twice (two steps that changed nothing); it is taken in once."""
    return [number for number, diff_id in enumerate(diff_ids) if diff_ids.index(diff_id) == number]
