# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tables for a terminal. Pure."""

from __future__ import annotations

import re
import unicodedata

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.page import printable


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows of equally many cells as lines whose columns begin below one another.

    A cell is one line of printable characters, whoever chose its text: a name could otherwise move
    the cursor of a terminal, or begin a row of its own.
    """
    cells = [tuple(re.sub(r"\s", " ", printable(cell)) for cell in row) for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells)]  # noqa: B905  the rows are equally long
    return ["  ".join(map(padded, row, widths)).rstrip() for row in cells]


def padded(text: str, columns: int) -> str:
    """A text with spaces up to this width."""
    return text + " " * (columns - width(text))


def width(text: str) -> int:
    """How many columns of a terminal a text takes: Chinese characters take two each."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
