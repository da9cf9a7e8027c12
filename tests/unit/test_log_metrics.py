# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What Prometheus is told of the queues of logs."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json

import pytest
import support

PATH = str(support.REPOSITORY / "roles/image/files/rsyslog/log-metrics")
LOADER = importlib.machinery.SourceFileLoader("log_metrics", PATH)
program = importlib.util.module_from_spec(importlib.util.spec_from_loader("log_metrics", LOADER))
LOADER.exec_module(program)


def told(name="audit queue", origin="core.queue", **more):
    numbers = {"size": 3, "enqueued": 9, "full": 1, "discarded.full": 2, "discarded.nf": 0}
    return json.dumps({"name": name, "origin": origin, **numbers, **more}).encode() + b"\n"


def text(*lines, age=0):
    queues = program.Queues()
    for line in lines:
        queues.tell(line, 1000)
    return queues.text(1000 + age)


def test_each_queue_has_its_numbers_and_the_last_ones_count():
    lines = text(told(), told("container queue", size=0), told(size=5)).splitlines()
    assert 'log_queue_lines{queue="audit"} 5' in lines
    assert 'log_queue_lines{queue="container"} 0' in lines
    assert 'log_queue_dropped_lines_total{queue="audit"} 2' in lines
    assert "# TYPE log_queue_dropped_lines_total counter" in lines


@pytest.mark.parametrize(
    "line",
    [
        told("main Q"),
        told("audit", "core.action"),
        b"{broken\n",
        b"[]\n",
        b"\n",
        b'{"name": 7, "origin": "core.queue"}\n',
    ],
)
def test_what_is_about_no_queue_of_an_action_is_nothing(line):
    assert "{" not in text(told(), line).replace('{queue="audit"}', "")


def test_a_collector_without_a_siem_has_no_queue_and_answers_all_the_same():
    lines = text(told("main Q"), told("kept", "core.action")).splitlines()
    assert lines and all(line.startswith("#") for line in lines)


def test_old_numbers_are_not_told():
    assert text(told(), age=59) and not text(told(), age=61)
    assert not text()
