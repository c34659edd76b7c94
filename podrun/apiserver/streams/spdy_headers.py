"""Header blocks of SPDY/3.1: names and values, compressed with one zlib stream per connection and direction.

    count(32)  { length(32) name  length(32) value }*      several values of a name are joined by NUL

The dictionary that primes zlib is part of the protocol (SPDY draft 3, section 2.6.10.1); its Adler-32 is 0xE3C6A7C2.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from podrun.apiserver.streams.spdy_errors import SpdyError

LONGEST_BLOCK = 64 << 10
"""Bytes of a header block once decompressed; what clients send has a few hundred."""

_NUMBER = struct.Struct(">I")

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_VALUES = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(_NUMBER.pack(len(word)) + word.encode() for word in (*_WORDS.split(), *_VALUES)) + _TEXT.encode()


class HeaderCompressor:
    """The sending side's stream."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(zdict=DICTIONARY)

    def block(self, headers: Mapping[str, str]) -> bytes:
        """The compressed block of headers; names go out in lower case."""
        plain = [_NUMBER.pack(len(headers))]
        for name, value in headers.items():
            plain += [_text(name.lower()), _text(value)]
        return self._zlib.compress(b"".join(plain)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class HeaderDecompressor:
    """The receiving side's stream. After an error it cannot go on: the connection has to end."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zdict=DICTIONARY)

    def headers(self, block: bytes) -> dict[str, str]:
        """The headers of a compressed block, names in lower case; raises SpdyError."""
        try:
            plain = self._zlib.decompress(block, LONGEST_BLOCK + 1)
        except zlib.error as error:
            raise SpdyError(f"a header block cannot be decompressed: {error}") from error
        if len(plain) > LONGEST_BLOCK or self._zlib.unconsumed_tail:
            raise SpdyError(f"a header block is longer than {LONGEST_BLOCK} bytes")
        return _parsed(plain)


def _text(value: str) -> bytes:
    raw = value.encode()
    return _NUMBER.pack(len(raw)) + raw


def _parsed(plain: bytes) -> dict[str, str]:
    place = 0

    def number() -> int:
        nonlocal place
        if len(plain) - place < _NUMBER.size:
            raise SpdyError("a header block is cut off")
        (value,) = _NUMBER.unpack_from(plain, place)
        place += _NUMBER.size
        return int(value)

    def text() -> str:
        nonlocal place
        length = number()
        if length > len(plain) - place:
            raise SpdyError("a header block is cut off")
        place += length
        return plain[place - length : place].decode(errors="replace")

    found: dict[str, str] = {}
    for _ in range(number()):
        name = text().lower()
        if not name or name in found:
            raise SpdyError(f"header name {name!r} is empty or repeated")
        found[name] = text()
    if place != len(plain):
        raise SpdyError("a header block has more than its headers")
    return found
