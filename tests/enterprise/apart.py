# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A program with namespaces of its own, which outlives whoever started it; its id is in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

NAMESPACES = ("--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")


class Apart:
    """state: the directory that the program is told, by which it is recognized."""

    def __init__(self, state: Path) -> None:
        self._state, self.logs = state, state / "log"
        self._pid = state / "etc" / "pid"

    @property
    def pid(self) -> int:
        """The program's, outside of its namespaces; 0 where none was started."""
        return int(self._pid.read_text()) if self._pid.exists() else 0

    @property
    def is_running(self) -> bool:
        return self._is_ours(self.pid)

    def start(
        self, program: Path, *words, by: tuple[str, ...] = (), stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen:
        """Start a program of Python; `by` is what starts it."""
        command = (*by, "unshare", *NAMESPACES, sys.executable, program, self._state, *words)
        with (self.logs / f"{program.stem}.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=stdin, stdout=log, stderr=log, start_new_session=True
            )
        self._pid.write_text(str(process.pid))
        return process

    def kill(self) -> None:
        """End it, and with it everything that it holds apart."""
        pid = self.pid
        if self._is_ours(pid):
            os.kill(pid, signal.SIGKILL)

    def _is_ours(self, pid: int) -> bool:
        """A number in the file may be another program's by now."""
        try:
            return str(self._state).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False


def main(verbs: dict[str, Callable[[], None]]) -> int:
    """Do what the command line asks for."""
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        print(f"usage: {Path(sys.argv[0]).name} {'|'.join(verbs)}", file=sys.stderr)
        return 2
    verbs[sys.argv[1]]()
    return 0
