# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The panels as Grafana's dashboards, and what Grafana reads when it starts. Pure.

Written from Grafana's description of its JSON; no dashboard of anybody else is in here.
"""

from __future__ import annotations

import json

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panel import (
    BYTES,
    COUNT,
    LINES,
    MONEY,
    PERCENT,
    RATE,
    SECONDS,
    STATES,
    TABLE,
    VALUE,
    Panel,
    filled,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels import BOARDS, Board
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.text import as_yaml

SCHEMA = 39
TAG = "intranet.mcp"
SOURCE = {"type": "prometheus", "uid": "intranet-prometheus"}
# Grafana's own variables for the time over which a rate is taken, and for all that is shown.
RATE_SPAN, WHOLE_SPAN = "$__rate_interval", "$__range"
TYPES = {VALUE: "stat", LINES: "timeseries", TABLE: "table", STATES: "state-timeline"}
UNITS = {
    COUNT: "short",
    RATE: "suffix:/s",
    PERCENT: "percent",
    SECONDS: "s",
    BYTES: "bytes",
    MONEY: "currencyUSD",
}
# Width and height; the page has 24 columns.
SIZES = {VALUE: (4, 4), LINES: (12, 8), TABLE: (24, 8), STATES: (24, 7)}
COLUMNS = 24
# Where the files are in the container (roles/grafana).
DASHBOARDS = "/config/dashboards/json"


def files(prometheus: str, interval_seconds: int) -> dict[str, str]:
    """Everything that is provisioned: path below /config -> text. prometheus: its URL."""
    return {
        "datasources/prometheus.yml": as_yaml(datasource(prometheus, interval_seconds)),
        "dashboards/intranet-mcp.yml": as_yaml(provider()),
        **{f"dashboards/json/{board.name}.json": _text(board) for board in BOARDS},
    }


def datasource(prometheus: str, interval_seconds: int) -> dict:
    """Where Grafana reads; nobody can change it in its pages."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                **SOURCE,
                "access": "proxy",
                "url": prometheus,
                "isDefault": True,
                "editable": False,
                "jsonData": {"timeInterval": f"{interval_seconds}s", "httpMethod": "POST"},
            }
        ],
    }


def provider() -> dict:
    """Where the dashboards are."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": TAG,
                "folder": TAG,
                "type": "file",
                "disableDeletion": True,
                "allowUiUpdates": False,
                "options": {"path": DASHBOARDS},
            }
        ],
    }


def dashboard(board: Board) -> dict:
    """One dashboard."""
    placed = _placed(list(board.panels.values()))
    return {
        "uid": f"intranet-mcp-{board.name}",
        "title": board.title,
        "tags": [TAG],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "graphTooltip": 1,
        "links": [{"type": "dashboards", "tags": [TAG], "asDropdown": False, "keepTime": True}],
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": [_panel(number, *found) for number, found in enumerate(placed, 1)],
    }


def _text(board: Board) -> str:
    return json.dumps(dashboard(board), indent=1, sort_keys=True) + "\n"


def _placed(panels: list[Panel]) -> list[tuple[Panel, dict]]:
    """Panels and their places: single numbers first, then in order, as many in a row as fit."""
    ordered = [p for p in panels if p.kind == VALUE] + [p for p in panels if p.kind != VALUE]
    placed, x, y, row = [], 0, 0, 0
    for panel in ordered:
        width, height = SIZES[panel.kind]
        if x + width > COLUMNS or (x and height != row):
            x, y = 0, y + row
        placed.append((panel, {"x": x, "y": y, "w": width, "h": height}))
        x, row = x + width, height
    return placed


def _panel(number: int, panel: Panel, place: dict) -> dict:
    made = {
        "id": number,
        "type": TYPES[panel.kind],
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [_target(panel, index) for index in range(len(panel.queries))],
        "fieldConfig": {"defaults": {"unit": UNITS[panel.unit], **_shown(panel)}, "overrides": []},
    }
    if panel.kind == TABLE:
        made["transformations"] = _joined(panel)
        made["fieldConfig"]["overrides"] = [
            _override(query.legend, query.unit) for query in panel.queries if query.unit
        ]
    if panel.kind == STATES:
        made["options"] = {"mergeValues": True, "showValue": "never"}
    return made


def _target(panel: Panel, index: int) -> dict:
    query = panel.queries[index]
    return {
        "refId": _letter(index),
        "datasource": SOURCE,
        "expr": filled(query.expr, RATE_SPAN, WHOLE_SPAN),
        "legendFormat": query.legend or "__auto",
        "instant": not panel.is_over_time,
        "range": panel.is_over_time,
        **({"format": "table"} if panel.kind == TABLE else {}),
    }


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _shown(panel: Panel) -> dict:
    if panel.kind == LINES:
        return {"min": 0, "custom": {"drawStyle": "line", "fillOpacity": 8, "showPoints": "never"}}
    if panel.kind == STATES:
        good, bad = panel.words
        tone = "red" if bad == "down" else "gray"
        shown = {"0": {"text": bad, "color": tone}, "1": {"text": good, "color": "green"}}
        return {"mappings": [{"type": "value", "options": shown}]}
    return {}


def _joined(panel: Panel) -> list[dict]:
    """The columns of several queries side by side, by the labels that name a row.

    Grafana joins by one field, so rows of several labels are merged instead.
    """
    names = {f"Value #{_letter(i)}": query.legend for i, query in enumerate(panel.queries)}
    if len(panel.queries) == 1:
        names = {"Value": panel.queries[0].legend}
    order = {name: position for position, name in enumerate([*panel.rows, *names])}
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": order,
                "renameByName": names,
            },
        },
    ]


def _override(column: str, unit: str) -> dict:
    return {
        "matcher": {"id": "byName", "options": column},
        "properties": [{"id": "unit", "value": UNITS[unit]}],
    }
