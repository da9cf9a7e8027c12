# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tables for a terminal. Pure."""

from __future__ import annotations


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows of equally many cells as lines whose columns begin below one another."""
    widths = [max(map(len, column)) for column in zip(*rows)]  # noqa: B905  the rows are equally long
    form = "  ".join(f"{{:<{width}}}" for width in widths)
    return [form.format(*row).rstrip() for row in rows]
