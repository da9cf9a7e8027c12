# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What `make status` makes of Prometheus's answers."""

from __future__ import annotations

import measured_day
import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import status, status_table


@pytest.fixture
def measured():
    return measured_day.measured()


def report(measured):
    return status.report(measured, "local", measured_day.HOURS)


def shown(found):
    return {p["name"]: p for section in found["sections"] for p in section["panels"]}


@pytest.mark.parametrize("hours", [1, 24, 24 * 31])
def test_queries_reach_as_far_back_as_was_asked_and_are_never_too_many_points(hours):
    spans = status.spans(hours)
    assert spans["span_seconds"] == 3600 * hours
    assert spans["span_seconds"] / spans["step_seconds"] <= 300
    for query in status.queries(hours):
        assert "<rate>" not in query["query"] and "<span>" not in query["query"]
        if query["name"].startswith("tokens."):
            assert f"[{hours}h]" in query["query"]


def test_a_table_has_the_largest_first_and_zero_where_nothing_was_counted(measured):
    del measured["answers"]["tools.2"][0]
    table = shown(report(measured))["tools"]
    times = [row["values"][0] for row in table["rows"]]
    assert times == sorted(times, reverse=True)
    assert table["rows"][0] == {"name": "browser · browser_navigate", "values": [3.9, 412, 0.0]}


def test_what_was_not_measured_is_left_out(measured):
    for name in list(measured["answers"]):
        if name.split(".")[0] in (
            "models",
            "model_tokens",
            "first_token",
            "loaded",
            "memory",
            "cost",
        ):
            measured["answers"][name] = []
    found = report(measured)
    assert "Models" not in [section["title"] for section in found["sections"]]
    assert "cost" not in [tile["name"] for tile in found["tiles"]]


def test_of_many_lines_the_highest_are_kept_in_one_order(measured):
    line = measured_day.over_time
    measured["answers"]["cpu.0"] = [
        line({"host": f"h{number:02}"}, lambda at, number=number: number) for number in range(20)
    ]
    panel = shown(report(measured))["cpu"]
    assert [li["legend"] for li in panel["lines"]] == [f"h{number}" for number in range(12, 20)]
    assert panel["left_out"] == 12


def test_states_tell_how_much_of_the_time_and_what_is_now(measured):
    lines = {li["legend"]: li for li in shown(report(measured))["tool_servers"]["lines"]}
    assert lines["github"]["share"] == 1 and lines["github"]["is_up"]
    assert 0.9 < lines["tickets"]["share"] < 1 and not lines["tickets"]["is_up"]


def test_a_young_monitoring_says_since_when_it_measures(measured):
    assert report(measured)["since"] is None
    young = measured_day.AT - 3600
    measured["answers"][status.OLDEST] = [measured_day.now({}, young)]
    assert report(measured)["since"] == young
    assert "measured since 22:00" in status_table.table(report(measured))[0]


def test_only_what_fires_is_an_alert_and_the_watchdog_is_none(measured):
    pending = {**measured_day.ALERT, "state": "pending"}
    measured["alerts"].append(pending)
    assert [alert["name"] for alert in report(measured)["alerts"]] == ["ToolServerDown"]


def test_the_terminal_shows_alerts_with_what_to_do_and_every_table(measured):
    lines = status_table.table(report(measured))
    text = "\n".join(lines)
    assert lines[0] == "local: 1 alert firing (24 hours until 2026-11-29 23:00 UTC)"
    assert "  CRITICAL ToolServerDown: The gateway on app1 cannot use tool server tickets" in lines
    assert "    do: docker logs intranet-tool-tickets, and restart it." in text
    assert "browser · browser_navigate   3.9 s      412    6" in lines
    assert "tickets       down  96.2 %" in lines


def test_nothing_measured_yet_is_a_report_too_and_no_good_news(measured):
    measured["alerts"] = []
    measured["answers"] = {name: [] for name in measured["answers"]}
    assert status_table.table(report(measured)) == [
        "local: No alert rule was evaluated yet (24 hours until 2026-11-29 23:00 UTC)"
    ]


def test_a_prometheus_that_keeps_nothing_yet_measures_since_now(measured):
    # The largest number of milliseconds that it knows.
    measured["answers"][status.OLDEST] = [measured_day.now({}, 2**63 / 1000)]
    assert "measured since 23:00" in status_table.table(report(measured))[0]


def test_hours_of_the_command_line_are_a_text(measured):
    assert status.spans("48") == status.spans(48)
    assert status.queries("48") == status.queries(48)
    assert status.report(measured, "local", "24") == report(measured)


@pytest.mark.parametrize("hours", [0, -1, "", "day", 1.5, None])
def test_what_is_no_number_of_hours_is_named(hours):
    with pytest.raises(ServiceError, match="prometheus_status_hours"):
        status.spans(hours)
