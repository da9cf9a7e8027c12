# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Lines a long-running module leaves in a file, for the action plugin that shows them live."""

from __future__ import annotations


class Progress:
    """Appends lines to `path`; without a path it does nothing."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def line(self, text: str) -> None:
        """Add one line. Progress is a courtesy: a full disk must not fail the work itself."""
        if not self.path:
            return
        try:
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(text.rstrip("\n") + "\n")
        except OSError:
            self.path = None
