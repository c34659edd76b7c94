"""nftables' own library, in this process: a change takes 0.2 ms, where a program `nft` takes ten and more.

libnftables comes with that program (Debian: libnftables1). Its connection is kept between calls, not only for speed:
the kernel waits for everything that a transaction has removed when the connection that made it is closed.
"""

from __future__ import annotations

import ctypes
import os
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


class _Connection:
    """libnftables' context, made in the network namespace whose inode number is `namespace`."""

    def __init__(self, namespace: int) -> None:
        self.namespace = namespace
        self._library = _library()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise Unavailable("libnftables cannot be started")
        self._library.nft_ctx_buffer_error(self._context)

    def run(self, commands: str) -> None:
        if self._library.nft_run_cmd_from_buffer(self._context, commands.encode()) != 0:
            said: bytes = self._library.nft_ctx_get_error_buffer(self._context)
            raise Refused(said.decode(errors="replace").strip())

    def close(self) -> None:
        self._library.nft_ctx_free(self._context)


_connection: _Connection | None = None


def run(commands: str) -> None:
    """Carry out commands as `nft -f` would, as one transaction, in the calling thread's network namespace.

    For one thread at a time. Raises Unavailable, Refused.
    """
    global _connection
    namespace = os.stat("/proc/thread-self/ns/net").st_ino
    if _connection is None or _connection.namespace != namespace:
        if _connection is not None:
            _connection.close()
        _connection = None
        _connection = _Connection(namespace)
    _connection.run(commands)
