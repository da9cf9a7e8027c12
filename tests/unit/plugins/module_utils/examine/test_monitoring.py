# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is read of Prometheus and Alertmanager, and the rows that verify makes of it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
import types

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.examine import (
    monitoring,
    probe_monitoring,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.monitoring import (
    Alert,
    Monitoring,
    Target,
    Undelivered,
    Watcher,
)

TARGET = {
    "labels": {"job": "redis", "service": "redis", "host": "one", "instance": "redis://r:6379"},
    "scrapeUrl": "http://intranet-redis_exporter:9121/scrape?target=redis",
    "health": "down",
    "lastError": "connection refused",
}
FIRES = {"state": "firing", "annotations": {"summary": "it is down", "runbook": "start it"}}
RULES = [
    {"name": "TargetDown", "health": "ok", "alerts": [FIRES, {**FIRES, "state": "pending"}]},
    {"name": "GatewaySlow", "health": "err", "lastError": "no such function", "alerts": []},
    {"name": "DiskFull", "health": "unknown", "alerts": []},
    {"name": "Watchdog", "health": "ok", "alerts": [FIRES]},
]
FAILED = {"receiver_name": "duty", "integration": "webhook", "reason": "clientError"}


def answers(exchange):
    """Return what a Prometheus answers to a query."""
    row = {"metric": FAILED, "value": [2, "3"]} if "failed" in exchange.path else {"metric": {}}
    return 200, {"data": {"result": [{"value": [2, "1700000000.5"], **row}]}}


@pytest.fixture
def watcher(service):
    for path, data in {
        "targets": {"activeTargets": [TARGET]},
        "rules": {"groups": [{"rules": RULES[:2]}, {"rules": RULES[2:]}]},
        "alertmanagers": {"activeAlertmanagers": [{"url": "http://a:9093"}]},
        "status/runtimeinfo": {"startTime": "2023-11-14T22:13:20.123456789Z"},
    }.items():
        service.replies["GET", f"/api/v1/{path}"] = (200, {"data": data})
    service.replies["GET", "/api/v1/query"] = answers
    watchdog = json.dumps([{"labels": {"alertname": "Watchdog"}}]).encode()
    service.replies["GET", "/api/v2/alerts"] = (200, watchdog)
    return Watcher(service.url, service.url, timeout=5)


def test_both_are_read(watcher):
    assert watcher.read() == Monitoring(
        targets=(
            Target(
                "redis", "redis", "one", "intranet-redis_exporter", "down", "connection refused"
            ),
        ),
        rules={"TargetDown": "", "GatewaySlow": "no such function", "DiskFull": "", "Watchdog": ""},
        unjudged=("DiskFull",),
        alertmanagers=1,
        has_watchdog=True,
        alerts=(Alert("TargetDown", "it is down", "start it"),),
        started=1_700_000_000,
        stored=1_700_000_000.5,
        undelivered=(Undelivered("duty", "webhook", "clientError"),),
    )


def test_an_alertmanager_that_is_away_is_told_and_hides_nothing(service, watcher):
    service.replies["GET", "/api/v2/alerts"] = (503, b"")
    found = watcher.read()
    assert (found.alertmanager, found.has_watchdog) == ("it answers 503", False)
    assert found.targets


def test_a_prometheus_that_refuses_says_where(service, watcher):
    service.replies["GET", "/api/v1/rules"] = (503, b"Service Unavailable")
    with pytest.raises(errors.Unexpected, match="answers 503 to /api/v1/rules"):
        watcher.read()


def test_what_was_not_asked_yet_is_asked_again_and_not_for_ever(service, watcher, monkeypatch):
    clock = itertools.count()
    passing = {"monotonic": lambda: next(clock), "sleep": lambda _seconds: None}
    monkeypatch.setattr(monitoring, "time", types.SimpleNamespace(**{**vars(time), **passing}))
    watcher.read_until_steady(3)
    assert len(service.seen("GET", "/api/v1/targets")) == 3
    up = {"data": {"activeTargets": [{**TARGET, "health": "up", "lastError": ""}]}}
    service.replies["GET", "/api/v1/targets"] = (200, up)
    service.replies["GET", "/api/v1/rules"] = (200, {"data": {"groups": []}})
    before = len(service.exchanges)
    watcher.read_until_steady(60)
    assert len(service.seen("GET", "/api/v1/targets")) and len(service.exchanges) - before < 8


WELL = Monitoring(
    targets=(Target("redis", "redis", "one"), Target("gateway", "gateway", "two")),
    rules={"TargetDown": "", "Watchdog": ""},
    alertmanagers=1,
    has_watchdog=True,
)
NAMES = {
    "targets": "monitoring sees every service",
    "rules": "monitoring has its alert rules",
    "alertmanager": "monitoring reaches Alertmanager",
    "watchdog": "monitoring alerts arrive",
    "alerts": "monitoring has no alert",
}


def rows(**changes):
    jobs = changes.pop("jobs", ["redis", "gateway"])
    found = dataclasses.replace(WELL, **changes)
    made = probe_monitoring.judge("monitoring", found, jobs, "intranet-")
    assert [row.check for row in made] == list(NAMES.values())
    return {row.check: row for row in made}


def test_a_monitoring_that_sees_everything_passes():
    assert {row.status for row in rows().values()} == {"passed"}
    assert rows()[NAMES["targets"]].found == "2 of 2 answer"


@pytest.mark.parametrize(
    ("changes", "row", "words"),
    [
        ({"jobs": ["redis", "gateway", "ollama"]}, "targets", "ollama: not in its configuration"),
        (
            {"targets": (Target("redis", "redis", "one", health="unknown"),), "jobs": ["redis"]},
            "targets",
            "redis on one: not asked yet",
        ),
        (
            {"targets": (Target("redis", "redis", "one", "", "down", "refused"),), "jobs": []},
            "targets",
            "redis on one: refused",
        ),
        ({"rules": {}}, "rules", "0 rules"),
        ({"rules": {"DiskFull": "no such function"}}, "rules", "DiskFull: no such function"),
        ({"unjudged": ("DiskFull",)}, "rules", "DiskFull: not evaluated yet"),
        ({"alertmanagers": 0}, "alertmanager", "Prometheus knows of none"),
        ({"alertmanager": "it answers 503"}, "alertmanager", "it answers 503"),
        ({"has_watchdog": False}, "watchdog", "the watchdog is not there"),
    ],
)
def test_each_row_fails_for_its_own_reason(changes, row, words):
    made = rows(**changes)
    assert [check for check, found in made.items() if found.status != "passed"] == [NAMES[row]]
    assert made[NAMES[row]].status == "failed" and words in made[NAMES[row]].found
    assert made[NAMES[row]].action


def test_alerts_that_are_out_are_named_and_fail_nothing():
    row = rows(alerts=(Alert("RedisDown", "Redis on one does not serve", "start it"),))
    found = row[NAMES["alerts"]]
    assert (found.status, found.action) == ("warning", "start it")
    assert found.found == "RedisDown: Redis on one does not serve"


def test_many_texts_are_shortened():
    assert probe_monitoring.listed([*"abcdefg"]) == "a; b; c; d; e; and 2 more"
