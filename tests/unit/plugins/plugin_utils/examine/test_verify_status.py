# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the portal tells of verify's report: parts in plain states, and nothing that is closed."""

from __future__ import annotations

import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probe_service, probes
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, part
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify_hosts, verify_users
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_hosts import SERVICES
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_status import status

FIRST, LATER = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"
# As llm_health says it.
CHECK = {
    **{"name": "chat", "model": "", "declared": "", "status": "failed", "found": ""},
    **{"expected": "", "action": "", "milliseconds": 1.0, "first_ms": None},
}


def row(about, status, found="", action="", name="a check"):
    """about: kind and name of a part, or None."""
    of = part(*about) if about else None
    return {
        **{"group": "any", "name": name, "status": status, "part": of},
        **{"found": found, "action": action},
    }


def made(*rows, at=FIRST, models=("qwen3", "qwen3:8b"), servers=("git",), before=""):
    named = [{"name": name} for name in models]
    return status({"at": at, "checks": list(rows)}, named, servers, before)


def state_of(found, name, kind="model"):
    return next(
        (p["state"], p["since"]) for p in found["parts"] if (p["kind"], p["name"]) == (kind, name)
    )


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["passed", "warning"], ("passed", None)),
        (["passed", "failed"], ("partly", FIRST)),
        (["failed", "failed"], ("failed", FIRST)),
        (["unknown", "not_applicable"], ("unknown", None)),
        ([], ("unknown", None)),
    ],
)
def test_model_is_judged_by_its_own_rows(statuses, expected):
    rows = [row(("model", "qwen3"), status) for status in statuses]
    others = [row(("model", "qwen3:8b"), "failed"), row(None, "failed"), {**row(None, "failed")}]
    del others[-1]["part"]  # of a task that fills in a row by itself
    assert state_of(made(*rows, *others), "qwen3") == expected


def test_models_of_apis_have_another_key_and_count_once():
    apis = [{"model_name": "company-large"}] * 2
    found = status({"at": FIRST, "checks": []}, [{"name": "qwen3"}, *apis], [])
    assert [p["name"] for p in found["parts"] if p["kind"] == "model"] == ["qwen3", "company-large"]


def test_server_whose_session_opens_but_whose_tools_fail_does_not_work():
    rows = [
        row(("server", "git"), "passed"),
        row(("server", "git"), "failed"),
        row(("server", "github"), "passed"),
    ]
    found = made(*rows, servers=["git", "github"])
    assert state_of(found, "git", "server") == ("failed", FIRST)
    assert state_of(found, "github", "server") == ("passed", None)


def test_rows_of_probes_say_what_they_are_about(monkeypatch):
    """Whatever names are like: a server called all, a model called as another and a word."""
    models = [{"name": "qwen3"}, {"name": "qwen3 large"}]
    asked = [
        *verify_users.server_probes({"all": {}, "all over": {}}, "http://gateway", 60),
        verify_users.probe("mcp all", "mcp", "Tools"),
        verify_users.probe("llm", "llm", "Models", models=models),
    ]
    monkeypatch.setitem(probes.KINDS, "mcp", probes.Kind(lambda name, _: [Finding(name)], {}))
    told = [
        {**CHECK, "declared": "qwen3", "status": "passed"},
        {**CHECK, "declared": "qwen3 large", "model": "qwen3-large", "name": "gemini"},
        {**CHECK, "declared": "qwen3 large", "name": "models", "status": "passed"},
        {**CHECK, "name": "denies_no_key"},
    ]
    monkeypatch.setattr(probe_service.chat, "checks_of", lambda _: told)
    rows = probes.run_all(asked)
    found = status({"at": FIRST, "checks": rows}, models, ["all", "all over"])
    assert [r["part"] for r in rows] == [
        *(part("server", "all"), part("server", "all over"), None),
        *(part("model", "qwen3"), part("model", "qwen3 large"), None, None),
    ]
    assert state_of(found, "qwen3") == ("passed", None)
    assert state_of(found, "qwen3 large") == ("failed", FIRST)


def test_each_service_that_people_know_is_asked_about():
    site = {
        **{"prefix": "p-", "health": {"litellm": "http://l", "gateway": "http://g"}},
        **{
            "ports": dict.fromkeys(("litellm", "gateway", "portal"), 1),
            "ready": dict.fromkeys(("litellm", "gateway", "portal"), "/"),
            "external": [],
        },
    }
    hosts = [
        verify_hosts._health,
        *map(verify_hosts.OF_GROUPS.get, ("litellm", "gateway", "portal")),
    ]
    about = {"urls": {"balancer": "https://llm"}, "balancer_health": "/", "ca": "", "prefix": "p-"}
    about |= {"shared_addresses": [], "listings": {}}
    asked = [*(one for make in hosts for one in make(site)), *verify_users._balancer(about)]
    found = [one["part"]["name"] for one in asked if "part" in one]
    assert {name: found.count(name) for name in SERVICES} == {
        **{"address": 1, "models": 2, "tools": 2, "sign_in": 1},
    }


def test_since_when_something_fails_is_kept_until_it_works():
    bad, good = row(("server", "git"), "failed"), row(("server", "git"), "passed")
    first = made(bad)
    later = made(bad, at=LATER, before=json.dumps(first))
    assert state_of(later, "git", "server") == ("failed", FIRST)
    works = made(good, at=LATER, before=json.dumps(later))
    assert state_of(works, "git", "server") == ("passed", None)
    assert state_of(made(bad, at=LATER, before=json.dumps(works)), "git", "server")[1] == LATER
    unasked = made(at=LATER, before=json.dumps(first))
    assert state_of(unasked, "git", "server") == ("unknown", FIRST)
    again = made(bad, at=LATER, before=json.dumps(unasked))
    assert state_of(again, "git", "server") == ("failed", FIRST), "nobody saw it work meanwhile"


@pytest.mark.parametrize(
    "before",
    [
        *("", "{", "[]", "{}", '{"parts": [3]}', '{"parts": [{}]}'),
        '{"parts": [{"kind": "server", "name": "git", "since": "yesterday"}]}',
        '{"parts": [{"kind": "server", "name": "git", "since": [3]}]}',
        '{"parts": [{"kind": [], "name": "git", "since": 3}]}',
    ],
)
def test_last_report_that_cannot_be_read_tells_nothing(before):
    found = made(row(("server", "git"), "failed"), before=before)
    assert state_of(found, "git", "server") == ("failed", FIRST)


def test_one_of_two_replicas_that_fails_is_a_part():
    rows = [row(("service", "models"), state) for state in ("passed", "failed")]
    assert state_of(made(*rows), "models", "service") == ("partly", FIRST)


@pytest.mark.parametrize(
    "secret",
    [
        "http://10.1.2.3:4000/ui",
        "redis://:hunter2@db:6379/1",
        "10.1.2.3",
        "10.1.2.0/24",
        "10.1.2.3:5432",
        "fd00::1",
        "2001:db8:0:1::2",
        "db1.example.internal:5432",
        "sk-3f9a1b",
        "Bearer abc.def",
        "0123456789abcdef" * 4,
    ],
)
def test_addresses_and_secrets_are_left_out(secret):
    said = f"found ({secret})", f"look at {secret}, then"
    bad = row(None, "failed", *said, name=f"database {secret}")
    text = json.dumps(made(bad, row(None, "passed", name=secret))["checks"])
    assert secret not in text and "hunter2" not in text
    assert "database" in text and "look at" in text and ", then" in text


def test_plain_words_stay_and_checks_that_passed_are_counted_alone():
    text = "HTTP 502 after 12.5 s: run site.yml, see /etc/intranet-mcp/services/litellm/config.yaml"
    bad = row(None, "warning", text, name="drift llm1")
    found = made(bad, row(None, "passed", name="disk llm1"))
    assert found["checks"] == [
        {"name": "drift llm1", "status": "warning", "found": text, "action": ""}
    ]
    assert found["count"] == 2
    assert len(made(row(None, "failed", "y " * 999))["checks"][0]["found"]) == 400
