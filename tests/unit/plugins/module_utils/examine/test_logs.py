# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import (
    doctor_logs,
    logs,
    probe_logs,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.logs import Queue

# The beginning of a .qi file of rsyslog 8.2504, for a queue of %d lines.
STATE = "<OPB:1:qqueue:1:\n+iQueueSize:2:1:%d:\n+tVars.disk.sizeOnDisk:2:7:3145728:\n>End\n.\n"
WANTED = {"services": {"log_collector": {}, "log_shipper": {}}, "container_prefix": "intranet-"}


def write(folder, service, name, lines):
    home = folder / service / "state"
    home.mkdir(parents=True, exist_ok=True)
    (home / f"{name}.qi").write_text(STATE % lines)


def test_queues_are_read_as_rsyslog_keeps_them(tmp_path):
    write(tmp_path, "log_shipper", "audit", 0)
    write(tmp_path, "log_collector", "siem_audit", 7)
    assert logs.read(str(tmp_path), pause=0) == [
        Queue("log_collector", "siem_audit", 7, 3145728, before=7),
        Queue("log_shipper", "audit", 0, 3145728, before=0),
    ]


def test_a_host_without_queues_is_not_waited_for(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(logs.time, "sleep", waits.append)
    assert logs.read(str(tmp_path)) == []
    assert waits == [0]


@pytest.mark.parametrize(
    ("before", "lines", "is_stuck"), [(0, 5, False), (5, 4, False), (5, 5, True), (5, 9, True)]
)
def test_a_queue_is_stuck_when_it_does_not_become_shorter(before, lines, is_stuck):
    assert Queue("log_shipper", "audit", lines, 1, before).is_stuck is is_stuck


def asked(tmp_path, **changes):
    options = {"data_dir": str(tmp_path), "hosts": ["one", "two"], "line": "verify 1"}
    options |= {"siem": "", "prefix": "intranet-", "wait_seconds": 0}
    found = probe_logs.arrive("logs", {**options, **changes})
    return {finding.check: (finding.status, finding.found) for finding in found}


def keep(tmp_path, host, text, name="log_shipper.log"):
    folder = tmp_path / "log_collector/logs/2027-01-31" / host
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_the_line_of_every_host_has_to_be_there(tmp_path):
    keep(
        tmp_path, "one", "<134>1 - one log_shipper - stdout - verify 1\n", "log_shipper.log.120000"
    )
    keep(tmp_path, "two", "<134>1 - two log_shipper - stdout - verify 0\n")
    assert asked(tmp_path)["logs of every host arrive"] == ("failed", "none of two")
    keep(tmp_path, "two", "<134>1 - two log_shipper - stdout - verify 1\n")
    assert asked(tmp_path) == {
        "logs of every host arrive": ("passed", "a line of 2 of 2"),
        "logs go on to the SIEM": ("not_applicable", "logs_siem is not set"),
    }


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        (Queue("log_collector", "siem_audit", 9, 1, 9), ("failed", "9 lines wait for siem")),
        (Queue("log_collector", "siem_audit", 0, 1, 9), ("passed", "nothing waits")),
        (Queue("log_shipper", "audit", 9, 1, 9), ("passed", "nothing waits")),
    ],
)
def test_what_waits_for_the_siem_has_to_become_less(tmp_path, monkeypatch, queue, expected):
    monkeypatch.setattr(logs, "read", lambda _folder: [queue])
    assert asked(tmp_path, siem="siem")["logs go on to the SIEM"] == expected


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("log_collector", ("9 lines (3.0 MiB) wait for the SIEM", "logs_siem (host, port, ca")),
        ("log_shipper", ("wait for the log collector", "docker logs intranet-log_shipper")),
    ],
)
def test_the_doctor_says_for_whom_lines_wait_and_what_to_do(service, words):
    facts = {"engine": {}, "log_queues": [Queue(service, "q", 9, 3 << 20, 9)]}
    (found,) = doctor_logs.queues(facts, WANTED)
    assert all(word in f"{found.found}; {found.action}" for word in words)
    facts["log_queues"] = [Queue(service, "q", 2, 1, 9)]
    assert list(doctor_logs.queues(facts, WANTED)) == []
