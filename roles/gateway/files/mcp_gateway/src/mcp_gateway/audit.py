"""The audit trail: JSON lines in a file of its own, on stdout, or both."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable

import msgspec

from mcp_gateway import envelope
from mcp_gateway.addresses import bucket
from mcp_gateway.settings import Audit as Settings

log = logging.getLogger("mcp_gateway.audit")
FLUSH_SECONDS = 0.1
SUMMARY_SECONDS = 60.0
# Whoever comes from many addresses fills no disk with them.
MAX_SUMMARIZED = 100
OTHERS = "others"
STDOUT = "-"


class Audit:
    """Writes in batches, off the event loop; rotates its file by itself."""

    def __init__(self, settings: Settings, dropped: Callable[[int], None]) -> None:
        self._settings = settings
        self._dropped = dropped
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()  # between a batch being written and `reopen`
        self._has_file = settings.file != STDOUT
        self._fd = self._open() if self._has_file else -1

    def _open(self) -> int:
        return os.open(self._settings.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def write(self, entry: dict[str, object]) -> None:
        if len(self._lines) >= self._settings.max_queue_lines:
            self._dropped(1)
            return
        self._lines.append(envelope.encode(entry))
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self._flush_later)

    def _flush_later(self) -> None:
        lines, self._lines = self._lines, []
        future = asyncio.get_running_loop().run_in_executor(None, self._write, lines)
        future.add_done_callback(self._flushed)

    def _flushed(self, _: object) -> None:
        self._timer = None
        if self._lines:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_later)

    def flush(self) -> None:
        """Write what is queued now."""
        lines, self._lines = self._lines, []
        self._write(lines)

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        data = b"\n".join(lines) + b"\n"
        try:
            with self._lock:
                if self._has_file:
                    _write_all(self._fd, data)
                    self._rotate()
        except OSError as error:
            self._dropped(len(lines))
            log.error(
                "the audit file %s cannot be written: %s", self._settings.file, error.strerror
            )
        if self._settings.stdout or not self._has_file:
            with contextlib.suppress(OSError):
                _write_all(sys.stdout.fileno(), data)

    def _rotate(self) -> None:
        """Put a full file aside: FILE.1 is the newest of those that are kept."""
        limit = self._settings.rotate_bytes
        if not limit or os.fstat(self._fd).st_size < limit:
            return
        path = self._settings.file
        for number in range(self._settings.keep_files, 1, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}.{number - 1}", f"{path}.{number}")
        if self._settings.keep_files:
            os.replace(path, f"{path}.1")
        else:
            os.remove(path)
        old, self._fd = self._fd, self._open()
        os.close(old)

    def reopen(self, settings: Settings) -> None:
        """Open the file anew, after something else moved it, and keep it as `settings` say.

        OSError, with the file and the settings as before, when it cannot be opened.
        """
        with self._lock:
            if self._has_file:
                old, self._fd = self._fd, self._open()
                os.close(old)
            self._settings = msgspec.structs.replace(settings, file=self._settings.file)

    def close(self) -> None:
        """Write what is left."""
        if self._timer is not None:
            self._timer.cancel()
        self.flush()
        if self._has_file:
            with contextlib.suppress(OSError):
                os.close(self._fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


class Refusals:
    """Requests refused before it was known who sends them: counted, and a line a minute.

    A line for each would let anybody push the calls of everybody else out of a rotated log.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._counts: dict[tuple[str, str], int] = {}
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def count(self, kind: str, address: str) -> None:
        """One more; the line about it comes within a minute."""
        key = (kind, bucket(address))
        if key not in self._counts and len(self._counts) >= MAX_SUMMARIZED:
            key = (kind, OTHERS)
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._timer is None:
            self._since = time.monotonic()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(SUMMARY_SECONDS, self.summarize)

    def summarize(self) -> None:
        """Write the lines and begin anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        counts, self._counts = self._counts, {}
        for (kind, address), count in counts.items():
            self._audit.write(
                {
                    "time": iso_now(),
                    "caller": "",
                    "address": address,
                    "server": "",
                    "method": "",
                    "name": "",
                    "status": "refused",
                    "error": kind,
                    "count": count,
                    "seconds": round(time.monotonic() - self._since, 1),
                }
            )


_clock = (0, "")


def iso_now() -> str:
    """UTC with milliseconds; the seconds part is formatted once a second."""
    global _clock
    now = time.time()
    whole = int(now)
    if _clock[0] != whole:
        _clock = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)))
    return f"{_clock[1]}.{int((now - whole) * 1000):03d}Z"
