# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What `gateway_usage_info` counts in audit logs as the gateway writes and rotates them."""

from __future__ import annotations

import json
import os

import fake_kubernetes
import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import audit


def line(day, name="read_file", status="ok", server="filesystem", method="tools/call", who="alice"):
    entry = {"time": f"{day}T12:00:00.000Z", "caller": who, "team": "payments", "era": "legacy"}
    entry |= {"server": server, "method": method, "name": name, "status": status}
    return json.dumps(entry, separators=(",", ":"))


@pytest.fixture
def log(tmp_path):
    """Write files of the log, newest first, each a list of lines."""

    def write(*files):
        for number, lines in enumerate(files):
            name = "audit.jsonl" + (f".{number}" if number else "")
            (tmp_path / name).write_text("".join(f"{one}\n" for one in lines))
        return str(tmp_path / "audit.jsonl")

    return write


@pytest.fixture
def count(run_module):
    def ask(path, keep_files=3, since="2027-01-01", until="2027-01-31"):
        return run_module(
            "gateway_usage_info", path=path, keep_files=keep_files, since=since, until=until
        )

    return ask


def told(result):
    return {(c["tool"]): (c["calls"], c["failed"], c["refused"]) for c in result["calls"]}


def test_calls_of_the_month_are_counted_over_all_files(log, count):
    newest = [line("2027-02-01"), line("2027-01-31", status="tool_error")]
    oldest = [line("2026-12-31"), line("2027-01-01"), line("2027-01-01", status="refused")]
    result = count(log(newest, oldest))
    (row,) = result["calls"]
    assert row == {
        "caller": "alice",
        "team": "payments",
        "server": "filesystem",
        "tool": "read_file",
        "calls": 2,
        "failed": 1,
        "refused": 1,
    }
    assert result["begins"] == "2026-12-31" and not result["changed"]


def test_lists_and_lines_cut_short_are_no_calls(log, count):
    lists = line("2027-01-02", method="tools/list", name="tools/call")
    broken = line("2027-01-02")[:-20]
    result = count(log([lists, broken, '{"time":"2027-01-02T', line("2027-01-02")]))
    assert told(result) == {"read_file": (1, 0, 0)} and result["unreadable"] == 1


def test_a_name_that_no_server_has_is_not_told(log, count):
    result = count(log([line("2027-01-02", name="made-by-the-client", server="", status="error")]))
    assert told(result) == {"": (1, 1, 0)}


def test_invented_names_fill_no_memory(log, count, monkeypatch):
    monkeypatch.setattr(audit, "MAX_ROWS", 2)
    names = ["a", "b", "c", "d", "a"]
    result = count(log([line("2027-01-02", name=name, status="error") for name in names]))
    assert told(result) == {"a": (2, 2, 0), "b": (1, 1, 0), "(others)": (2, 2, 0)}


def test_a_log_that_lost_days_of_the_month_says_so(log, count):
    recent = [[line(f"2027-01-{day}")] for day in (20, 19, 18)]
    path = log(*recent)
    assert count(path, keep_files=3)["is_whole"]  # there is room for a fourth: none was lost
    assert not count(path, keep_files=2)["is_whole"]
    older = log(*recent[:2], [line("2026-12-31")])
    assert count(older, keep_files=2)["is_whole"]


@pytest.mark.parametrize("rest", ["\0" * 80, "~~~ no line ~~~", '{"time":"soon"}'])
def test_what_a_crash_leaves_of_a_line_is_no_day_on_which_the_log_begins(log, count, rest):
    result = count(log([line("2027-01-20")], [rest, line("2027-01-18")]), keep_files=1)
    assert (result["begins"], result["is_whole"]) == ("2027-01-18", False)


def test_a_file_put_aside_meanwhile_is_counted_once(log, count, tmp_path):
    path = log([line("2027-01-02")])
    os.link(path, tmp_path / "audit.jsonl.1")  # as between the two opens of a rotation
    assert told(count(path)) == {"read_file": (1, 0, 0)}


def test_a_gateway_that_was_never_asked_has_no_calls(count, tmp_path):
    result = count(str(tmp_path / "audit.jsonl"))
    assert result["calls"] == [] and result["is_whole"] and result["begins"] == ""


def test_a_log_that_cannot_be_read_is_named(count, tmp_path):
    (tmp_path / "audit.jsonl").mkdir()
    result = count(str(tmp_path / "audit.jsonl"))
    assert result["failed"] and "become" in result["msg"]


def test_a_pipe_in_the_place_of_a_file_holds_up_nobody(log, count, tmp_path):
    path = log([line("2027-01-02")])
    os.mkfifo(tmp_path / "audit.jsonl.1")
    result = count(path)
    assert result["failed"] and "no regular file" in result["msg"]


@pytest.fixture
def cluster(tmp_path):
    found = fake_kubernetes.FakeCluster()
    found.path = found.kubeconfig(tmp_path / "kubeconfig")
    yield found
    found.close()


def test_calls_are_counted_in_what_pods_of_the_gateway_said(cluster, run_module):
    of_gateway = {"labels": {"app.kubernetes.io/name": "gateway"}}
    others = {"labels": {"app.kubernetes.io/name": "litellm"}}
    names = {"gateway-1": of_gateway, "gateway-2": of_gateway, "litellm-1": others}
    cluster.pods = [{"metadata": {"name": name, **labels}} for name, labels in names.items()]
    cluster.logs = {
        "gateway-1": "INFO it began\n" + line("2027-01-03") + "\n",
        "gateway-2": line("2027-01-02") + "\n" + line("2027-01-04", status="refused") + "\n",
        "litellm-1": line("2027-01-01") + "\n",
    }
    cluster.never_restarted = {"gateway-1"}
    given = {"kubeconfig": cluster.path, "namespace": "llm"}
    month = {"since": "2027-01-01", "until": "2027-01-31"}
    result = run_module("gateway_usage_info", **given, **month)
    # What was said before a restart is read, too; the fake says the same again.
    assert told(result) == {"read_file": (3, 0, 2)}
    assert result["begins"] == "2027-01-02" and result["pods"] == ["gateway-1", "gateway-2"]
    assert not result["is_whole"] and result["unreadable"] == 0
    asked = [query for _method, path, query in cluster.calls if path.endswith("/log")]
    assert {query["sinceTime"] for query in asked} == {"2027-01-01T00:00:00Z"}
    cluster.pods = []
    result = run_module("gateway_usage_info", **given, **month)
    assert result["calls"] == [] and result["begins"] == ""
