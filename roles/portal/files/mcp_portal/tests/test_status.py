"""What verify found last, as people and administrators see it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import lab
import pytest
from mcp_portal.status import Report, Status, age

SCRIPT = "<script>alert(1)</script>"


def part(kind, name, state, since=None):
    return {"kind": kind, "name": name, "state": state, "since": since}


def report(at, **changes):
    since = "2026-01-01T08:30:00+00:00"
    parts = [
        part("service", "sign_in", "passed"),
        part("model", "qwen3:8b", "failed", since),
        part("server", "files", "passed"),
        part("server", f"bad{SCRIPT}", "partly", since),
    ]
    check = {"name": f"llm {SCRIPT}", "status": "failed", "found": SCRIPT, "action": "run it"}
    return {"at": at.isoformat(), "count": 40, "parts": parts, "checks": [check], **changes}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "status.json"


@pytest.fixture
def kept(issuer, configure, file):
    """A portal where verify leaves its report, and whose administrators are Alice's group."""
    changes = {"status_file": str(file), "administrator_groups": ["dev-payments"]}
    with lab.running(configure(issuer, **changes)) as served:
        yield served


def test_before_the_first_run_nothing_is_said_to_work(kept, sign_in):
    alice = sign_in(kept, "alice")
    for path in ("status", "models"):
        answer = alice.get(f"/portal/{path}")
        assert answer.status_code == 200 and "Not checked yet" in answer.text
    assert "not checked</span>" in answer.text


def test_report_is_told_in_plain_words_with_its_age_and_escaped(kept, sign_in, file):
    alice = sign_in(kept, "alice")
    file.write_text(json.dumps(report(datetime.now(UTC) - timedelta(hours=3, minutes=5))))
    text = alice.get("/portal/status").text
    assert "Checked 3 hours ago" in text and "old result" not in text
    assert "Number of problems: 2" in text
    assert "does not work</span>" in text and "since 2026-01-01 08:30 UTC" in text
    assert SCRIPT not in text and "&lt;script&gt;" in text
    models = alice.get("/portal/models").text
    row = models.split("qwen3:8b")[1].split("</tr>")[0]
    assert (
        "does not work" in row
        and "not checked" in models.split("company-large")[1].split("</tr>")[0]
    )
    file.write_text(json.dumps(report(datetime.now(UTC) - timedelta(days=3), parts=[])))
    chinese = {"accept-language": "zh"}
    assert "Everything that was checked works" in alice.get("/portal/status").text
    assert "3 天前检查过" in alice.get("/portal/status", headers=chinese).text
    assert "This is an old result" in alice.get("/portal/models").text


def test_checks_are_for_administrators_alone(issuer, configure, sign_in, file):
    file.write_text(json.dumps(report(datetime.now(UTC))))
    for groups, sees in ((["dev-payments"], True), (["somebody-else"], False), ([], False)):
        changes = {"status_file": str(file), "administrator_groups": groups}
        with lab.running(configure(issuer, **changes)) as served:
            text = sign_in(served, "alice").get("/portal/status").text
        assert ("For administrators" in text) is sees, groups
        assert ("run it" in text) is sees and ("40 checks" in text) is sees


def test_who_is_not_signed_in_is_told_nothing(kept, file):
    file.write_text(json.dumps(report(datetime.now(UTC))))
    answer = lab.Browser(kept.url).get("/portal/status")
    assert answer.status_code == 303 and answer.headers["location"].endswith("next=status")


def test_where_verify_leaves_no_report_there_is_no_such_page(portal, sign_in):
    alice = sign_in(portal, "alice")
    assert alice.get("/portal/status").status_code == 404
    assert "/portal/status" not in alice.get("/portal/overview").text
    assert "last check" not in alice.get("/portal/models").text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": "yesterday"}', '{"at": 3}'])
def test_broken_report_is_none(file, text, caplog):
    file.write_text(text)
    assert Status(str(file)).report() is None
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-500, ("now", 0, False)),
        (119, ("now", 0, False)),
        (120, ("minutes", 2, False)),
        (7199, ("minutes", 119, False)),
        (7200, ("hours", 2, False)),
        (90000, ("hours", 25, True)),
        (2 * 86400, ("days", 2, True)),
    ],
)
def test_age_is_told_in_units_of_which_there_are_two(seconds, expected):
    now = datetime.now(UTC)
    at = now - timedelta(seconds=seconds)
    assert age(Report(at, 0, [], []), now) == expected
