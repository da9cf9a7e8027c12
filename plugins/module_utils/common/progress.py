# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Lines a long-running module leaves in a file, for the action plugin that shows them live."""

from __future__ import annotations

import os


class Progress:
    """Appends lines to `path`, below one with this process's id; without a path it does nothing.

    By the id the reader (plugin_utils/common/progress.py) knows whether anybody still writes.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._write(f"{os.getpid()}\n", os.O_CREAT | os.O_EXCL)

    def line(self, text: str) -> None:
        """Add one line."""
        self._write(text.rstrip("\n") + "\n", 0)

    def _write(self, text: str, flags: int) -> None:
        """Append; progress is a courtesy, a full disk must not fail the work itself."""
        if not self.path:
            return
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | flags, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
        except OSError:
            self.path = None
