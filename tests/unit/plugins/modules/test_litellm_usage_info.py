# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What `litellm_usage_info` tells of the daily sums of a small LiteLLM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_litellm import MASTER, FakeLiteLLM


@pytest.fixture
def usage(run_module, service):
    """What is used in a month, after the days that a test notes with the function it is given."""
    litellm = FakeLiteLLM(service)

    def ask(since="2027-01-01", until="2027-01-31", key=MASTER):
        return run_module(
            "litellm_usage_info",
            litellm_url=service.url,
            master_key=key,
            since=since,
            until=until,
        )

    ask.litellm = litellm
    return ask


def told(result):
    return [(row["team"], row["user"], row["requests"]) for row in result["usage"]]


def test_the_days_of_a_month_are_added_up_and_no_others(usage):
    for day in ("2026-12-31", "2027-01-01", "2027-01-09", "2027-01-31", "2027-02-01"):
        usage.litellm.used(day, "k1", "alice", 4, ("payments", 4), alias="alice")
    result = usage()
    assert not result["changed"]
    (row,) = result["usage"]
    assert row == {
        "team": "payments",
        "user": "alice",
        "key_alias": "alice",
        "key_hash": "k1",
        "requests": 12,
        "failed_requests": 0,
        "input_tokens": 120,
        "cached_tokens": 0,
        "output_tokens": 24,
        "cost": 3.0,
    }


def test_who_changed_teams_is_billed_to_each_for_its_part(usage):
    usage.litellm.used("2027-01-02", "k1", "alice", 5, ("payments", 5))
    usage.litellm.used("2027-01-03", "k1", "alice", 7, ("payments", 2), ("search", 5))
    assert told(usage()) == [("payments", "alice", 7), ("search", "alice", 5)]


def test_what_no_team_has_is_told_too(usage):
    usage.litellm.used("2027-01-02", "k1", "alice", 5, ("payments", 3))
    usage.litellm.used("2027-01-02", "k2", None, 9)
    assert told(usage()) == [("", "", 9), ("", "alice", 2), ("payments", "alice", 3)]


def test_what_only_the_sums_of_teams_have_is_not_lost(usage):
    usage.litellm.used("2027-01-02", "k1", "alice", 5, ("payments", 5))
    usage.litellm.daily["user"].clear()
    (row,) = usage()["usage"]
    assert (row["team"], row["requests"], row["key_hash"]) == ("payments", 5, "k1")
    assert row["user"] != "payments"


@pytest.mark.parametrize(
    ("since", "until", "word"),
    [("2027-01-32", "2027-02-01", "date"), ("2027-02-01", "2027-01-01", "swap")],
)
def test_days_that_are_none_are_named(usage, since, until, word):
    result = usage(since, until)
    assert result["failed"] and word in result["msg"]


def test_a_wrong_key_is_named(usage):
    assert usage(key="sk-wrong")["error"]["reason"] == "unauthorized"


def test_a_version_without_the_export_is_named(usage):
    usage.litellm.service.replies["GET", "/user/daily/activity/export"] = (200, {"results": []})
    result = usage()
    assert result["error"]["reason"] == "unexpected" and "make versions" in result["msg"]
