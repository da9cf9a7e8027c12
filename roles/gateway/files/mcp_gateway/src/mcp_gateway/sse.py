"""Server-Sent Events: frames in, frames out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class Frame:
    """One JSON-RPC message on its way to a client, with what SSE said around it."""

    __slots__ = ("data", "event", "event_id", "rest", "retry")

    def __init__(
        self,
        data: bytes,
        event_id: bytes | None = None,
        retry: bytes | None = None,
        event: bytes | None = None,
    ) -> None:
        self.data = data
        self.event_id = event_id
        self.retry = retry
        self.event = event
        # The remainder of a large JSON body that is still on its way.
        self.rest: Callable[[], Awaitable[bytes | None]] | None = None

    def encode(self) -> bytes:
        """The frame on the wire."""
        out = [b"event: ", self.event or b"message", b"\n"]
        if self.event_id is not None:
            out += [b"id: ", self.event_id, b"\n"]
        if self.retry is not None:
            out += [b"retry: ", self.retry, b"\n"]
        if b"\n" in self.data or b"\r" in self.data:
            out += [b"data: " + line + b"\n" for line in self.data.splitlines()]
        else:
            out += [b"data: ", self.data, b"\n"]
        out.append(b"\n")
        return b"".join(out)


class FrameTooLarge(Exception):
    """An upstream sent one event beyond the configured bound."""


class Parser:
    """Feed bytes, take frames. Accepts LF and CRLF, comments and multi-line data."""

    def __init__(self, max_bytes: int) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._max = max_bytes
        self._data: list[bytes] = []
        self._size = 0
        self._id: bytes | None = None
        self._retry: bytes | None = None
        self._event: bytes | None = None

    @property
    def waiting(self) -> int:
        """How many bytes of an event that is not complete are kept."""
        return len(self._buffer) + self._size

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that `chunk` completes."""
        self._buffer += chunk
        frames: list[Frame] = []
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._scanned))) >= 0:
            line = bytes(self._buffer[start : end - 1 if self._ends_in_cr(start, end) else end])
            start = end + 1
            self._scanned = start
            frame = self._line(line)
            if frame is not None:
                frames.append(frame)
        del self._buffer[:start]
        self._scanned = len(self._buffer)
        if len(self._buffer) + self._size > self._max:
            raise FrameTooLarge(f"one event exceeds {self._max} bytes")
        return frames

    def _ends_in_cr(self, start: int, end: int) -> bool:
        return end > start and self._buffer[end - 1] == 13

    def _line(self, line: bytes) -> Frame | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"id":
            self._id = value.replace(b"\r", b"")  # a lone CR would start a line of its own
        elif name == b"event":
            self._event = value.replace(b"\r", b"")
        elif name == b"retry" and value.isdigit():
            self._retry = value
        return None

    def _dispatch(self) -> Frame | None:
        if not self._data and self._id is None and self._retry is None:
            self._event = None
            return None
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        frame = Frame(data, self._id, self._retry, self._event)
        self._data, self._size = [], 0
        self._id = self._retry = self._event = None
        return frame
