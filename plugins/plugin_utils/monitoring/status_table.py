# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The report of `make status` for a terminal. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.table import aligned
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panel import STATES, TABLE
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.status_page import (
    headline,
    when,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.units import text


def table(found: dict) -> list[str]:
    """What has numbers of its own: tiles, tables, states and alerts. Lines are on the page."""
    panels = [panel for section in found["sections"] for panel in section["panels"]]
    shown = [lines for panel in panels if (lines := _lines(panel))]
    tiles = " · ".join(
        f"{tile['title']} {text(tile['value'], tile['unit'])}" for tile in found["tiles"]
    )
    return [
        f"{found['platform']}: {headline(found)} ({when(found)})",
        *(line for alert in found["alerts"] for line in _alert(alert)),
        *(["", tiles] if tiles else []),
        *(line for lines in shown for line in ("", *lines)),
    ]


def _alert(alert: dict) -> list[str]:
    return [
        f"  {alert['severity'].upper()} {alert['name']}: {alert['summary']}",
        f"    do: {alert['runbook']}",
    ]


def _lines(panel: dict) -> list[str]:
    if panel["kind"] == TABLE:
        return aligned([*_rows(panel)]) + _more(panel)
    if panel["kind"] == STATES:
        good, bad = panel["words"]
        states = [
            (line["legend"], good if line["is_up"] else bad, text(100 * line["share"], "percent"))
            for line in panel["lines"]
        ]
        return aligned([(panel["title"].upper(), "NOW", f"{good} of the time".upper()), *states])
    return []


def _rows(panel: dict) -> list[tuple[str, ...]]:
    columns = panel["columns"]
    heads = (panel["title"].upper(), *(column["title"].upper() for column in columns))
    rows = [
        (
            row["name"],
            *(text(v, c["unit"]) for v, c in zip(row["values"], columns, strict=True)),
        )
        for row in panel["rows"]
    ]
    return [heads, *rows]


def _more(panel: dict) -> list[str]:
    return [f"and {panel['left_out']} more"] if panel["left_out"] else []
