# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Logs while somebody floods them or is away: what goes on all the same, and what is told."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import urllib.request

import pytest
import test_logs
from conftest import wait_until
from test_logs import CONTAINER, PATIENCE, call, is_open, say, wait_for

pytestmark = pytest.mark.integration

start, way = test_logs.start, test_logs.way  # fixtures


def test_who_connects_and_says_nothing_holds_up_nobody(way, docker):
    way.collector.start()
    address = (docker.ip(way.collector.container), 6514)
    wait_until(lambda: is_open(address), PATIENCE, "the collector's port")
    with contextlib.ExitStack() as silent:
        for _ in range(20):
            silent.enter_context(socket.create_connection(address, 5))
        way.shipper.start()
        call(way, 0, 20)
        wait_for(way.collector, "*/audit.log", 20)


def test_a_container_that_prints_without_end_holds_up_no_audit_line(way):
    for one in (way.collector, way.shipper):
        one.start()
    (way.containers / CONTAINER).mkdir()
    is_over = threading.Event()
    flood = threading.Thread(target=print_until, args=(way, is_over))
    flood.start()
    try:
        path = "*/app1/tool-wiki.log"
        wait_until(lambda: way.collector.text(path), PATIENCE, "the container's first lines")
        call(way, 0, 5)
        wait_for(way.collector, "*/audit.log", 5)
    finally:
        is_over.set()
        flood.join()


def print_until(way, is_over):
    """Print faster than anybody takes lines: 30,000 a second."""
    line = json.dumps({"log": f"{'y' * 60}\n", "stream": "stdout", "time": "2027-01-31T10:00:00Z"})
    line = line[:-1] + ', "attrs": {"intranet.mcp.service": "tool-wiki"}}\n'
    with (way.containers / CONTAINER / f"{CONTAINER}-json.log").open("a") as file:
        while not is_over.wait(0.1):
            file.write(line * 3000)


def told(way, docker, one, port, name):
    """Return what Prometheus would be told of each queue of an instance."""
    url = f"http://{docker.ip(one.container)}:{port}/metrics"
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
        return {q: float(v) for q, v in re.findall(rf'{name}{{queue="(\w+)"}} (\S+)', text)}
    return {}


def test_prometheus_is_told_what_waits_and_what_was_dropped(way, docker):
    lines, dropped = "log_queue_lines", "log_queue_dropped_lines_total"
    for one in (way.collector, way.shipper):
        one.start()
    call(way, 0, 7)
    ask = (way, docker, way.collector, 6516)
    wait_until(lambda: told(*ask, lines).get("siem_audit") == 7, PATIENCE, "7 lines that wait")
    assert told(*ask, lines)["siem_container"] == told(*ask, dropped)["siem_container"] == 0
    shipper = (way, docker, way.shipper, 6515, lines)
    wait_until(lambda: told(*shipper) == {"audit": 0, "container": 0}, PATIENCE, "the shipper's")
    for number in range(1300):  # 20 MiB, where 12 may wait
        say(way, "litellm", f"{number} {'x' * 16000}")
    wait_until(lambda: told(*ask, dropped)["siem_container"] > 0, PATIENCE, "dropped lines")
    way.siem.start()
    wait_until(lambda: told(*ask, lines)["siem_audit"] == 0, PATIENCE, "that nothing waits")
    assert told(*ask, dropped)["siem_audit"] == 0
