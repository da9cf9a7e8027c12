# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What Grafana is given to read. That its queries have data is asked of a real Prometheus."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import grafana, panel
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels import BOARDS

FILES = grafana.files("http://prometheus:9090", 15)
each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)


def dashboard(board):
    return json.loads(FILES[f"dashboards/json/{board.name}.json"])


def test_the_source_is_the_platforms_prometheus_and_nobody_edits_it():
    (source,) = yaml.safe_load(FILES["datasources/prometheus.yml"])["datasources"]
    assert source["url"] == "http://prometheus:9090" and source["access"] == "proxy"
    assert source["isDefault"] and not source["editable"]
    assert source["jsonData"]["timeInterval"] == "15s"


def test_the_provider_reads_where_the_dashboards_are():
    (provider,) = yaml.safe_load(FILES["dashboards/intranet-mcp.yml"])["providers"]
    folder = provider["options"]["path"].removeprefix("/config/")
    assert [path for path in FILES if path.startswith(f"{folder}/")] == [
        f"{folder}/{board.name}.json" for board in BOARDS
    ]


@each_board
def test_a_dashboard_asks_only_the_provisioned_source(board):
    made = dashboard(board)
    sources = [p["datasource"] for p in made["panels"]]
    sources += [target["datasource"] for p in made["panels"] for target in p["targets"]]
    (source,) = yaml.safe_load(FILES["datasources/prometheus.yml"])["datasources"]
    assert all(s == {"type": source["type"], "uid": source["uid"]} for s in sources)


@each_board
def test_every_panel_has_its_queries_and_no_place_twice(board):
    made = dashboard(board)
    assert sorted(p["title"] for p in made["panels"]) == sorted(
        shown.title for shown in board.panels.values()
    )
    assert len({p["id"] for p in made["panels"]}) == len(made["panels"])
    taken = set()
    for p in made["panels"]:
        place = p["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken and max(x for x, _y in cells) < grafana.COLUMNS
        taken |= cells
        letters = [target["refId"] for target in p["targets"]]
        assert len(set(letters)) == len(letters) > 0
        assert all("<" not in t["expr"].replace("< Inf", "") for t in p["targets"])


@each_board
def test_what_is_over_time_is_asked_over_time_and_a_table_once(board):
    by_title = {shown.title: shown for shown in board.panels.values()}
    for p in dashboard(board)["panels"]:
        shown = by_title[p["title"]]
        assert p["type"] == grafana.TYPES[shown.kind]
        assert p["fieldConfig"]["defaults"]["unit"] == grafana.UNITS[shown.unit]
        for target in p["targets"]:
            assert target["range"] == shown.is_over_time == (not target["instant"])
            assert (target.get("format") == "table") == (shown.kind == panel.TABLE)


def test_the_columns_of_a_table_have_their_names_and_units():
    tools = next(board for board in BOARDS if board.name == "tools")
    table = next(p for p in dashboard(tools)["panels"] if p["type"] == "table")
    merge, organize = table["transformations"]
    assert merge["id"] == "merge"
    assert organize["options"]["renameByName"] == {
        "Value #A": "Mean time",
        "Value #B": "Calls",
        "Value #C": "Errors",
    }
    overrides = {
        o["matcher"]["options"]: o["properties"][0]["value"]
        for o in table["fieldConfig"]["overrides"]
    }
    assert overrides == {"Mean time": "s"}


def test_nothing_in_a_dashboard_leads_outside():
    for path, text in FILES.items():
        assert "https://" not in text, path
        assert text.replace("http://prometheus:9090", "").count("http://") == 0, path
