"""nftables' own library, in this process: a change costs a fraction of a millisecond, where a program `nft` costs ten.

libnftables comes with the program (Debian: libnftables1). It talks to the network namespace of the calling thread.
"""

from __future__ import annotations

import ctypes
from functools import cache


class Unavailable(Exception):
    """The library is not on this machine."""


class Refused(Exception):
    """The commands were not carried out, none of them; the text is what nft says."""


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        raise Unavailable(str(error)) from None
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("nft_ctx_new", pointer, [ctypes.c_uint32]),
        ("nft_ctx_free", None, [pointer]),
        ("nft_ctx_buffer_error", ctypes.c_int, [pointer]),
        ("nft_ctx_get_error_buffer", text, [pointer]),
        ("nft_run_cmd_from_buffer", ctypes.c_int, [pointer, text]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def run(commands: str) -> None:
    """Carry out commands, as `nft -f` would, as one transaction. Raises Unavailable, Refused."""
    library = _library()
    context = library.nft_ctx_new(0)
    if not context:
        raise Unavailable("libnftables could not be started")
    try:
        library.nft_ctx_buffer_error(context)
        if library.nft_run_cmd_from_buffer(context, commands.encode()) != 0:
            raise Refused(library.nft_ctx_get_error_buffer(context).decode(errors="replace").strip())
    finally:
        library.nft_ctx_free(context)
