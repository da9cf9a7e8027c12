# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What `prometheus_query` asks for and tells."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

ALERT = {"state": "firing", "labels": {"alertname": "RedisDown"}, "annotations": {}}


def answer(kind, result):
    return 200, {"status": "success", "data": {"resultType": kind, "result": result}}


@pytest.fixture
def prometheus(service):
    now = {"metric": {"service": "redis"}, "value": [100, "0"]}
    day = {"metric": {}, "values": [[100, "1.5"], [400, "NaN"], [700, "+Inf"]]}
    service.replies["GET", "/api/v1/query"] = answer("vector", [now])
    service.replies["GET", "/api/v1/query_range"] = answer("matrix", [day])
    service.replies["GET", "/api/v1/alerts"] = (
        200,
        {"status": "success", "data": {"alerts": [ALERT]}},
    )
    return service


QUERIES = [
    {"name": "down", "query": "up == 0"},
    {"name": "load", "query": "sum(rate(x_total[5m]))", "is_range": True},
]


def test_answers_come_by_name_and_what_is_no_number_is_none(run_module, prometheus):
    told = run_module("prometheus_query", url=prometheus.url, queries=QUERIES)
    assert not told["changed"] and told["alerts"] == [ALERT]
    assert told["answers"] == {
        "down": [{"labels": {"service": "redis"}, "points": [[100, 0]]}],
        "load": [{"labels": {}, "points": [[100, 1.5], [400, None], [700, None]]}],
    }


def test_a_range_ends_now_and_begins_a_span_before(run_module, prometheus):
    told = run_module(
        "prometheus_query", url=prometheus.url, queries=QUERIES, span_seconds=3600, step_seconds=60
    )
    (asked,) = prometheus.seen("GET", "/api/v1/query_range")
    sent = {name: value[0] for name, value in parse_qs(urlsplit(asked.path).query).items()}
    assert sent["query"] == "sum(rate(x_total[5m]))" and sent["step"] == "60"
    assert float(sent["end"]) - float(sent["start"]) == pytest.approx(3600)
    assert float(sent["end"]) == pytest.approx(told["at"], abs=0.01)


def test_a_query_that_prometheus_refuses_is_named(run_module, prometheus):
    refused = {"status": "error", "errorType": "bad_data", "error": "parse error"}
    prometheus.replies["GET", "/api/v1/query"] = 400, refused
    told = run_module("prometheus_query", url=prometheus.url, queries=QUERIES)
    assert told["failed"] and told["error"]["reason"] == "refused"
    assert "up == 0: parse error" in told["msg"]


@pytest.mark.parametrize("reply", [(200, b"<html>"), (404, {"detail": "no"}), (200, [])])
def test_something_else_at_the_address_is_noticed(run_module, prometheus, reply):
    prometheus.replies["GET", "/api/v1/query"] = reply
    told = run_module("prometheus_query", url=prometheus.url, queries=QUERIES)
    assert told["error"]["reason"] == "unexpected" and prometheus.url in told["msg"]


def test_a_prometheus_that_is_down_is_named(run_module, service):
    service.close()
    told = run_module("prometheus_query", url=service.url, queries=QUERIES)
    assert told["error"]["reason"] == "unreachable" and "start Prometheus" in told["msg"]


def test_a_prometheus_that_still_starts_is_waited_for_and_not_looked_for_elsewhere(
    run_module, prometheus
):
    prometheus.replies["GET", "/api/v1/query"] = 503, b"Service Unavailable"
    told = run_module("prometheus_query", url=prometheus.url, queries=QUERIES)
    assert "has not started yet" in told["msg"] and "wait a minute" in told["msg"]
