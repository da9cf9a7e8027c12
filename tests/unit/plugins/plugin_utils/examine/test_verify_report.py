# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify_report

ABOUT = {"platform": "local", "at": "2026-01-01T00:00:00+00:00", "seconds": 12.4}


def check(name, status="passed", **more):
    row = Finding(name, "found it", "that", "do this", status=status).as_row()
    return {"group": "Tools", **row, **more}


def made(*checks, **settings):
    return verify_report.report({"here": {"checks": list(checks)}}, ABOUT, **settings)


def test_a_report_counts_every_check():
    found = made(check("a"), check("b", "failed"), check("c", "unknown"))
    assert (found["passed"], found["failed"], found["unknown"]) == (1, 1, 1)
    assert found["platform"] == "local"


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ({}, "no answer"),
        ({"unreachable": True, "msg": "no route to host"}, "no route to host"),
        ({"failed": True, "msg": "x", "checks": [], "error": {"found": "no kind"}}, "no kind"),
    ],
)
def test_a_host_that_was_not_examined_is_unknown_and_not_passed(result, found):
    report = verify_report.report({"there": result}, ABOUT)
    assert (report["passed"], report["unknown"]) == (0, 1)
    assert report["checks"][0]["found"] == found


def test_what_is_not_required_warns_and_is_no_failure():
    found = made(check("drift here", "failed"), check("disk", "failed"), advisory=["drift *"])
    assert (found["warning"], found["failed"]) == (1, 1)
    assert found["checks"][0]["action"] == "do this"


def test_only_what_could_not_run_can_be_declared_not_applicable():
    reason = {"ports *": "a scan of our own"}
    found = made(check("ports a", "unknown"), check("ports b", "failed"), not_applicable=reason)
    assert (found["not_applicable"], found["failed"], found["unknown"]) == (1, 1, 0)
    assert "a scan of our own" in found["checks"][0]["found"]


def test_the_table_ends_with_what_failed_what_to_do_and_the_sum():
    lines = verify_report.table(made(check("bad", "failed"), check("good")))
    assert lines[0].startswith("passed   good")
    assert lines[1].startswith("failed   bad")
    assert lines[2].strip() == "expected: that" and lines[3].strip() == "do: do this"
    assert lines[-1] == "2 checks in 12 s: 1 passed, 1 failed"


@pytest.mark.parametrize(("took", "text"), [(None, ""), (3.4, "3 ms"), (12345.6, "12.3 s")])
def test_latencies_read_well(took, text):
    assert verify_report.milliseconds({"milliseconds": took}) == text


def litellm_has(users=(), keys=()):
    return {
        "users": [{"is_managed": True, "user_role": "internal_user_viewer", **u} for u in users],
        "keys": [
            {
                "is_managed": True,
                "allowed_routes": ["/v1/models"],
                "created_by": "default_user_id",
                "key_hash": "0123456789abcdef",
                **key,
            }
            for key in keys
        ],
    }


def test_people_and_keys_as_site_makes_them_pass():
    told = litellm_has(
        [{"user_id": "alice"}, {"user_id": "ui", "is_managed": False, "user_role": "proxy_admin"}],
        [
            {"key_alias": "alice"},
            {"key_alias": "admin", "allowed_routes": []},
            {"key_alias": "admin-old-1", "allowed_routes": []},
            {"key_alias": "by-hand", "is_managed": False, "allowed_routes": [], "created_by": "ui"},
        ],
    )
    rows = verify_report.people_rows(told, [{"key_alias": "admin", "allowed_routes": []}])
    assert [row["status"] for row in rows] == ["passed"] * 3
    assert {row["group"] for row in rows} == {"Intruders"}


def test_people_and_keys_that_may_do_more_are_named():
    told = litellm_has(
        [{"user_id": "alice", "user_role": "internal_user"}],
        [
            {"key_alias": "ci", "allowed_routes": []},
            {"key_alias": None, "created_by": "alice", "is_managed": False},
        ],
    )
    rows = verify_report.people_rows(told, [{"key_alias": "ci"}])
    assert [(row["status"], row["found"]) for row in rows] == [
        ("failed", "alice is internal_user"),
        ("failed", "ci"),
        ("failed", "0123456789ab by alice"),
    ]
    assert {row["action"] for row in rows} == {"run site.yml"}


def test_people_that_nobody_could_ask_about_are_unknown():
    rows = verify_report.people_rows({"failed": True, "msg": "LiteLLM is away"}, [])
    assert {(row["status"], row["found"]) for row in rows} == {("unknown", "LiteLLM is away")}


def passed(name):
    return {"checks": [check(name)]}


def test_what_further_tasks_found_stands_before_what_probes_found():
    first = {
        "__verify_health": {**passed("probe"), "changed": False},
        "__verify_used": passed("fresh key"),
        "__verify_attacked": passed("attack"),
        "__verify_closed": passed("closed"),
        "__verify_measured": passed("first word"),
        "__verify_people": litellm_has([{"user_id": "alice"}]),
    }
    found = verify_report.results([("app1", first)], [])["app1"]
    names = [row["name"] for row in found["checks"]]
    assert names[:4] == ["fresh key", "attack", "closed", "first word"]
    assert names[4] == "people's role makes no keys" and names[-1] == "probe"
    assert found["changed"] is False


def test_hosts_without_further_tasks_have_what_their_probes_found():
    skipped = {"skipped": True, "skip_reason": "Conditional result was False"}
    hosts = {
        "app2": {"__verify_health": passed("probe"), "__verify_people": skipped},
        "data1": {"__verify_health": passed("probe"), "__verify_attacked": None},
    }
    found = verify_report.results(hosts.items(), [])
    assert {host: len(result["checks"]) for host, result in found.items()} == {
        "app2": 1,
        "data1": 1,
    }


def test_a_host_that_did_not_answer_keeps_the_result_that_says_so():
    away = {"unreachable": True, "msg": "no route"}
    hosts = {"away": {"__verify_health": away, "__verify_closed": passed("closed")}, "new": {}}
    assert verify_report.results(hosts.items(), []) == {"away": away, "new": {}}
