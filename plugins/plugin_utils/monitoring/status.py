# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What `make status` asks Prometheus, and what it makes of the answers. Pure."""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panel import (
    COUNT,
    NOBODY,
    STATES,
    TABLE,
    VALUE,
    Panel,
    filled,
    labelled,
    told,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels import PANELS

TILES = ("tool_calls", "tokens", "cost", "keys", "down")
SECTIONS = {
    "Entry points": ("entries", "requests", "errors", "latency"),
    "Models": ("models", "model_tokens", "first_token", "loaded", "memory"),
    "Teams": ("teams", "people"),
    "Tools": ("tool_servers", "tools", "server_calls", "server_latency"),
    "Hosts": ("hosts", "cpu", "host_memory", "disks"),
    "Services": ("services", "connections", "alert_times"),
}
# Points of a line.
POINTS = 288
# More lines cannot be told apart.
MAX_LINES = 8
MAX_ROWS = 15
WATCHDOG = "Watchdog"
# Since when there are measurements.
OLDEST = "oldest"


def asked_hours(hours: int | str) -> int:
    """How many hours are looked back on; what the command line sets is a text."""
    if not re.fullmatch("[1-9][0-9]{0,4}", str(hours)):
        raise Refused(
            f"prometheus_status_hours {hours!r}", "hours to look back on", "write it so, such as 24"
        )
    return int(hours)


def spans(hours: int | str) -> dict[str, int]:
    """How far back, and how far apart two points are, in seconds."""
    hours = asked_hours(hours)
    return {"span_seconds": hours * 3600, "step_seconds": max(15, hours * 3600 // POINTS)}


def queries(hours: int | str) -> list[dict]:
    """What to ask, as the module `prometheus_query` wants it."""
    hours = asked_hours(hours)
    names = [*TILES, *(name for panels in SECTIONS.values() for name in panels)]
    rate = f"{max(60, 2 * spans(hours)['step_seconds'])}s"
    oldest = {"name": OLDEST, "query": "min(prometheus_tsdb_lowest_timestamp_seconds)"}
    return [
        oldest,
        *_of_panels(names, rate, hours),
    ]


def _of_panels(names: list[str], rate: str, hours: int) -> list[dict]:
    return [
        {
            "name": _name(name, number),
            "query": filled(query.expr, rate, f"{hours}h"),
            "is_range": PANELS[name].is_over_time,
        }
        for name in names
        for number, query in enumerate(PANELS[name].queries)
    ]


def report(measured: dict, platform: str, hours: int | str) -> dict:
    """What was found. measured: the result of the module `prometheus_query`."""
    answers, hours = measured["answers"], asked_hours(hours)
    sections = [
        {"title": title, "panels": [p for p in (_panel(name, answers) for name in names) if p]}
        for title, names in SECTIONS.items()
    ]
    tiles = [_panel(name, answers) for name in TILES]
    began = measured["at"] - hours * 3600
    step = spans(hours)["step_seconds"]
    first = next((series["points"][0][1] for series in answers[OLDEST]), began)
    return {
        "platform": platform,
        "at": measured["at"],
        "hours": hours,
        "began": began,
        "step": step,
        # Where the monitoring is younger than the time that is asked about.
        # Before it keeps anything, Prometheus names a time that no calendar has.
        "since": min(first, measured["at"]) if first > began + 3 * step else None,
        "is_watched": any(map(_is_watchdog, measured["alerts"])),
        "alerts": [_alert(a) for a in measured["alerts"] if _is_firing(a)],
        "tiles": [tile for tile in tiles if tile],
        "sections": [section for section in sections if section["panels"]],
    }


def _name(panel: str, number: int) -> str:
    return f"{panel}.{number}"


def _is_firing(alert: dict) -> bool:
    return alert["state"] == "firing" and not _is_watchdog(alert)


def _is_watchdog(alert: dict) -> bool:
    return alert["labels"].get("alertname") == WATCHDOG


def _alert(alert: dict) -> dict:
    return {
        "name": alert["labels"]["alertname"],
        "severity": alert["labels"].get("severity", ""),
        "since": alert["activeAt"],
        **{
            part: alert["annotations"].get(part, "")
            for part in ("summary", "description", "runbook")
        },
    }


def _panel(name: str, answers: dict) -> dict | None:
    """What a panel shows; None where nothing was measured."""
    panel = PANELS[name]
    found = [answers[_name(name, number)] for number in range(len(panel.queries))]
    shown = {VALUE: _value, TABLE: _table, STATES: _states}.get(panel.kind, _lines)(panel, found)
    if not shown:
        return None
    about = {"title": panel.title, "about": panel.about, "kind": panel.kind, "unit": panel.unit}
    return {"name": name, **about, **shown}


def _value(_panel: Panel, found: list) -> dict:
    values = [series["points"][-1][1] for series in found[0]]
    return {"value": values[0]} if values and values[0] is not None else {}


def _lines(panel: Panel, found: list) -> dict:
    lines = _series(panel, found)
    peaks = sorted((_peak(line) for line in lines), reverse=True)
    least = peaks[min(MAX_LINES, len(peaks)) - 1] if peaks else 0
    # In the order of their names, so that one thing has one colour in all plots.
    kept = [line for line in lines if _peak(line) >= least][:MAX_LINES]
    return {"lines": kept, "left_out": len(lines) - len(kept)} if kept else {}


def _peak(line: dict) -> float:
    return max(value for _at, value in line["points"])


def _states(panel: Panel, found: list) -> dict:
    lines = _series(panel, found)
    for line in lines:
        states = [value >= 1 for _at, value in line["points"]]
        line["share"], line["is_up"] = sum(states) / len(states), states[-1]
    return {"lines": lines, "words": panel.words} if lines else {}


def _series(panel: Panel, found: list) -> list[dict]:
    """Every line that has a value, with its legend."""
    lines = []
    for query, answer in zip(panel.queries, found, strict=True):
        drawn = [
            {
                "legend": labelled(query.legend, series["labels"]),
                "points": [point for point in series["points"] if point[1] is not None],
            }
            for series in answer
        ]
        lines += sorted((line for line in drawn if line["points"]), key=lambda li: li["legend"])
    return lines


def _table(panel: Panel, found: list) -> dict:
    """Rows by their labels; the first column says in which order."""
    rows: dict[tuple[str, ...], list[float | None]] = {}
    units = [query.unit or panel.unit for query in panel.queries]
    empty = [0.0 if unit == COUNT else None for unit in units]
    for number, answer in enumerate(found):
        for series in answer:
            key = tuple(told(series["labels"], label) for label in panel.rows)
            value = series["points"][-1][1]
            rows.setdefault(key, list(empty))[number] = value
    kept = [item for item in rows.items() if item[1][0] is not None]
    kept.sort(key=lambda item: -item[1][0])
    if not kept:
        return {}
    return {
        "columns": [
            {"title": query.legend, "unit": unit}
            for query, unit in zip(panel.queries, units, strict=True)
        ],
        "rows": [
            {"name": " · ".join(filter(None, key)) or NOBODY, "values": values}
            for key, values in kept[:MAX_ROWS]
        ],
        "left_out": len(kept[MAX_ROWS:]),
    }
