# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A month's usage: whose it is, what is missing, and how it looks in a table, as CSV, as a page."""

from __future__ import annotations

import csv
import html.parser
import io
import re

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import usage, usage_files

WANTED = {"month": "2027-01", "team": "", "at": "2027-02-03T10:00:00+00:00", "platform": "ours"}
KNOWN = {
    "teams": [
        {"team_id": "payments", "team_alias": "payments"},
        {"team_id": "t-1", "team_alias": "Search"},
    ],
    "users": [{"user_id": "alice", "user_email": "alice@example.internal"}],
    "keys": [{"key_alias": "alice", "user_id": "alice"}, {"key_alias": "ci", "user_id": None}],
}


def used(team="payments", user="alice", alias="alice", cost=1.5, **numbers):
    row = {"team": team, "user": user, "key_alias": alias, "key_hash": f"hash-{alias}"}
    row |= {"requests": 10, "failed_requests": 1, "input_tokens": 1000, "cached_tokens": 0}
    return {**row, "output_tokens": 50, "cost": cost, **numbers}


def called(caller="alice", team="payments", server="filesystem", tool="read_file", calls=3, **more):
    row = {"caller": caller, "team": team, "server": server, "tool": tool, "calls": calls}
    return {**row, "failed": 1, "refused": 0, **more}


def log(*calls, **more):
    return {"calls": list(calls), "begins": "2026-12-24", "is_whole": True, "unreadable": 0, **more}


def report(models=(), gateways=None, **wanted):
    return usage.report(list(models), gateways or {}, KNOWN, {**WANTED, **wanted})


@pytest.mark.parametrize(
    ("month", "until"),
    [("2027-01", "2027-01-31"), ("2028-02", "2028-02-29"), ("2027-11", "2027-11-30")],
)
def test_a_month_ends_with_its_last_day(month, until):
    assert usage.period(month) == {"since": f"{month}-01", "until": until}


@pytest.mark.parametrize(
    "month",
    [
        "2027-13",
        "2027-1",
        "January",
        "2027-01-05",
        "../2027-01",
        "0000-01",
        "\uff12\uff10\uff12\uff17-01",
    ],
)
def test_what_is_no_month_is_named(month):
    with pytest.raises(ServiceError, match="for example 2027-01"):
        usage.period(month)


def test_a_persons_models_and_tools_are_one_row_a_team():
    gateways = {"a": log(called(calls=3)), "b": log(called(calls=4), called(tool="list_dir"))}
    found = report([used(), used(cost=0.5, requests=2), used(team="t-1")], gateways)
    rows = {(row["team"], row["person"]): row for row in found["people"]}
    assert set(rows) == {("payments", "alice"), ("Search", "alice")}
    row = rows["payments", "alice"]
    assert (row["requests"], row["cost"], row["email"]) == (12, 2.0, "alice@example.internal")
    assert (row["tool_calls"], row["tool_calls_failed"]) == (10, 3)
    tools = [(t["tool"], t["calls"]) for t in found["tools"]]
    assert tools == [("read_file", 7), ("list_dir", 3)]


def test_calls_belong_to_the_person_whose_key_made_them():
    calls = [
        called(caller="alice-old-3f2a91bc"),  # while the key is rotated
        called(caller="laptop"),  # a further key of alice, deleted since
        called(caller="ci"),  # a key of nobody
        called(caller="bob@example.internal"),  # a token of the sign-on
    ]
    found = report([used(alias="laptop")], {"a": log(*calls)})
    whose = {row["person"]: row["tool_calls"] for row in found["people"]}
    assert whose == {"alice": 6, "ci": 3, "bob@example.internal": 3}


def test_a_key_is_one_whatever_its_values_are_called_and_a_name_like_theirs_is_a_name():
    models = [used(user="", alias="ci"), used(user="", alias="ci-old-837e1751")]
    calls = [called(caller="ci-old-837e1751"), called(caller="bob-old-laptop", calls=1)]
    found = report(models, {"a": log(*calls)})
    whose = {row["person"]: (row["requests"], row["tool_calls"]) for row in found["people"]}
    assert whose == {"ci": (20, 3), "bob-old-laptop": (0, 1)}


def test_nothing_is_lost_that_has_no_team_or_owner():
    found = report([used(team="", user="", alias="")], {"a": log(called(caller="", team=""))})
    (row,) = found["people"]
    assert (row["team"], row["person"]) == ("(no team)", "(nobody)")
    assert row["requests"] == 10 and row["tool_calls"] == 3


def test_one_team_alone_and_its_sums():
    found = report([used(), used(team="t-1", cost=4)], {"a": log(called())}, team="t-1")
    assert [row["team"] for row in usage.teams(found)] == ["Search"]
    assert usage.total(found["people"])["cost"] == 4 and found["tools"] == []
    with pytest.raises(ServiceError, match=r"'pyments'.*Search, payments"):
        report([used()], team="pyments")


def test_sums_of_teams_are_those_of_their_people():
    found = report([used(), used(user="bob", alias="bob"), used(team="t-1")])
    people = {row["team"]: row["people"] for row in usage.teams(found)}
    assert people == {"payments": 2, "Search": 1}
    assert usage.total(usage.teams(found)) == usage.total(found["people"])


def test_what_is_missing_is_said():
    gateways = {
        "a": {},
        "b": log(is_whole=False, begins="2027-01-12"),
        "c": log(unreadable=2),
        "d": log(),
    }
    notes = "\n".join(report([], gateways, at="2027-01-15T08:30:00+00:00")["notes"])
    assert "a did not answer, or was not asked" in notes and "b begins on 2027-01-12" in notes
    assert "2 lines of c" in notes and "2027-01-15T08:30" in notes and "d" not in notes.split()
    gateways = {"cluster": log(is_whole=False, begins="2027-01-12", pods=["gateway-1"])}
    (note,) = report([], gateways)["notes"]
    assert note.startswith("Calls of tools in cluster are those in the logs of pods that run now")
    (note,) = report([], {"cluster": log(is_whole=False, begins="", pods=["gateway-1"])})["notes"]
    assert note == "The logs of the gateway's pods in cluster have no call of a tool."
    assert report()["notes"] == []
    assert report([], {}, month="2062-01")["notes"] == [
        "The month has not begun: is it the one that was meant?"
    ]


@pytest.mark.parametrize(
    ("team", "name"),
    [
        ("", "usage-2027-01"),
        ("payments", "usage-2027-01-payments"),
        ("支付", "usage-2027-01-支付"),
        ("a/../b c", "usage-2027-01-a_.._b_c-9f3fd56c"),
    ],
)
def test_files_of_a_team_are_called_like_it_and_stay_in_their_directory(team, name):
    assert usage_files.file_name("2027-01", team) == name
    shown = usage_files.page({**report(), "team": team})
    assert f"{name}.csv has the same numbers" in shown


def test_no_report_takes_the_place_of_another():
    teams = ["", "tools", "x", "x-tools", "a/b", "a b", "a_b", "长" * 200, "长" * 201]
    names = [usage_files.file_name("2027-01", team) for team in teams]
    files = [f"{name}{end}" for name in names for end in (".csv", "-tools.csv", ".html")]
    assert len(set(files)) == len(files)
    assert max(len(name.encode()) for name in files) < 256


def test_the_table_ends_with_the_sums():
    lines = usage_files.table(report([used(requests=1234567), used(team="t-1")]))
    (last,) = [line for line in lines if line.startswith("all")]
    assert "1,234,577" in last and "$3.00" in last and "2 people" in last


def read(text):
    return io.StringIO(text.removeprefix("\ufeff"))


def test_csv_has_a_line_a_person_and_a_line_a_tool():
    found = report([used(cost=0.1234567)], {"a": log(called())})
    (person,) = csv.DictReader(read(usage_files.people_csv(found)))
    assert person["month"] == "2027-01" and person["person"] == "alice"
    assert (person["cost"], person["tool_calls"]) == ("0.123457", "3")
    (tool,) = csv.DictReader(read(usage_files.tools_csv(found)))
    assert (tool["person"], tool["server"], tool["calls"]) == ("alice", "filesystem", "3")


def test_no_cell_is_a_formula():
    names = ["=cmd()", "+1", "-1", "@sum", "\t=x", " =x", "\n=x", "\uff1dx", "a;=cmd()", "a,\t@x"]
    found = report([], {"a": log(*(called(tool=name, caller=name) for name in names))})
    text = usage_files.tools_csv(found) + usage_files.people_csv(found)
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    # Whatever a spreadsheet takes for the end of a cell.
    parts = [part.strip() for cell in cells for part in re.split("[;,\t\n]", cell)]
    assert not [part for part in parts if part.startswith(tuple("=+-@\uff1d"))]


def test_a_spreadsheet_reads_names_in_chinese():
    text = usage_files.people_csv(report([used(user="张三", alias="张三")]))
    assert text.startswith("\ufeffmonth,") and "张三" in text


class Page(html.parser.HTMLParser):
    """Collects cells, and notices what a page would load or run."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.loads = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        self.loads += [v for n, v in attrs if n in ("src", "href") or n.startswith("on")]
        if tag in ("script", "iframe", "b-evil"):
            self.loads.append(tag)

    def handle_data(self, data):
        if self.rows:
            self.rows[-1].append(data)


def test_the_page_shows_those_who_used_most_first_and_loads_nothing():
    models = [used(user="bob", alias="bob", cost=0.5), used(cost=7), used(team="t-1", cost=0)]
    page = Page(usage_files.page(report(models, {"a": log(called())})))
    assert page.loads == []
    people = [row for row in page.rows if row[:1] in (["alice"], ["bob"])]
    assert [(row[0], row[6]) for row in people] == [
        ("alice", "$7.00"),
        ("bob", "$0.50"),
        ("alice", "$0.00"),
    ]
    assert any(row[:5] == ["read_file", "filesystem", "1", "3", "1"] for row in page.rows)


def test_a_name_of_the_clients_choice_is_text_of_the_page():
    page = usage_files.page(
        report([], {"a": log(called(tool="<b-evil onload=x>\x00", caller="<script>"))})
    )
    assert Page(page).loads == [] and "&lt;b-evil" in page


def test_the_page_stays_readable_with_many_people():
    models = [used(user=f"p{n}", alias=f"p{n}") for n in range(usage_files.MAX_SHOWN + 3)]
    assert "3 more are in the CSV file" in usage_files.page(report(models))


def test_a_month_without_any_usage_is_a_page_too():
    page = usage_files.page(report())
    assert "$0.00" in page and "Usage in 2027-01" in page
