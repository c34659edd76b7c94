"""What can go wrong with a SPDY connection."""

from __future__ import annotations


class SpdyError(Exception):
    """The peer broke the protocol: the connection cannot go on."""


class StreamClosed(ConnectionError):
    """The stream, or its whole connection, has ended: nothing more can be read from it or written to it."""
