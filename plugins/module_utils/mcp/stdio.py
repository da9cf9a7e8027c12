# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The MCP transport over the pipes of a program that is started for one session."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common import errors

GRACE_SECONDS = 3
MAX_LINE_BYTES = 16 * 1024 * 1024


class Command:
    """What to start; stands where other transports have their HTTP client."""

    def __init__(
        self, argv: list[str], env: dict[str, str] | None = None, timeout: float = 30
    ) -> None:
        self.argv, self.env, self.timeout = argv, dict(env or {}), timeout
        self.url = f"the command {argv[0]}"  # arguments may hold secrets

    def __repr__(self) -> str:
        return f"Command({self.argv[0]!r})"


class Stdio:
    """One program, one session: a line is a message."""

    def __init__(self, http: Command) -> None:
        self.http = http
        self.version: str | None = None
        self._process: subprocess.Popen | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed with the session
        self._pending = bytearray()

    def __repr__(self) -> str:
        return f"Stdio({self.http.argv[0]})"

    def open(self) -> None:
        """Start the program."""
        try:
            self._process = subprocess.Popen(
                self.http.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env={**os.environ, **self.http.env},
                start_new_session=True,
            )
        except OSError as error:
            raise errors.Unreachable(
                f"{self.http.url} cannot be started ({error.strerror or error})",
                "a program on this host",
                "install it, or correct command",
            ) from error

    def exchange(self, message: dict[str, Any], headers: dict[str, str]) -> dict[str, Any] | None:
        """Send a message; return the answer to it, None for a notification."""
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        if "id" not in message:
            return None
        ends_at = time.monotonic() + self.http.timeout
        while True:
            received = self._message(ends_at, message["method"])
            if "method" not in received and received.get("id") == message["id"]:
                return received

    def close(self) -> None:
        """Close its input; what does not end then is ended."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._stop()
            self._process.stdout.close()
        self._said.close()

    def _stop(self) -> None:
        for step in (None, signal.SIGTERM, signal.SIGKILL):
            if step is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, step)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)
                break

    def _message(self, ends_at: float, method: str) -> dict[str, Any]:
        """Return the next message; lines that are none (a stray print) are skipped."""
        while True:
            line = self._line(ends_at, method)
            with contextlib.suppress(ValueError):
                received = json.loads(line)
                if isinstance(received, dict):
                    return received

    def _line(self, ends_at: float, method: str) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0, ends_at - time.monotonic())):
                    raise errors.TimedOut(
                        f"{self.http.url} sent no answer to {method} for {self.http.timeout:g} s",
                        "an answer in that time",
                        "start it by hand and read its output, or raise timeout",
                    )
                received = os.read(self._process.stdout.fileno(), 65536)
                if not received or len(self._pending) > MAX_LINE_BYTES:
                    raise self._ended()
                self._pending += received
        line, _newline, rest = bytes(self._pending).partition(b"\n")
        self._pending = bytearray(rest)
        return line

    def _ended(self) -> errors.Unexpected:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._said.seek(0)
        said = self._said.read(MAX_LINE_BYTES).decode("utf-8", "replace").strip()[-300:]
        status = self._process.returncode
        return errors.Unexpected(
            f"{self.http.url} ended with status {status} ({said or 'no message'})",
            "a server that speaks MCP on its standard input and output",
            "start it by hand and read what it says",
        )
