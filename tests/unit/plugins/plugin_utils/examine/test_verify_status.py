# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the portal tells of verify's report: parts in plain states, and nothing that is closed."""

from __future__ import annotations

import json

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_hosts import (
    REACHES_DATABASE,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_status import (
    SERVICES,
    status,
)

FIRST, LATER = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"


def row(group, name, status, found="", action=""):
    return {"group": group, "name": name, "status": status, "found": found, "action": action}


def made(*rows, at=FIRST, models=("qwen3", "qwen3:8b"), servers=("git",), before=""):
    return status({"at": at, "checks": list(rows)}, models, servers, before)


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
def test_model_is_judged_by_its_answers_alone(statuses, expected):
    rows = [row("Models", f"llm qwen3 check{n}", status) for n, status in enumerate(statuses)]
    others = [row("Models", "llm qwen3 models", "passed")] if statuses else []
    others.append(row("Models", "llm qwen3:8b chat", "failed"))
    assert state_of(made(*rows, *others), "qwen3") == expected


def test_server_whose_session_opens_but_whose_tools_fail_does_not_work():
    rows = [
        row("Tools", "mcp git session (modern)", "passed"),
        row("Tools", "mcp git call (modern)", "failed"),
        row("Tools", "mcp github session (modern)", "passed"),
    ]
    found = made(*rows, servers=["git", "github"])
    assert state_of(found, "git", "server") == ("failed", FIRST)
    assert state_of(found, "github", "server") == ("passed", None)
    assert state_of(made(row("Tools", "mcp git", "failed")), "git", "server")[0] == "failed"


def test_since_when_something_fails_is_kept_until_it_works():
    bad, good = row("Tools", "mcp git", "failed"), row("Tools", "mcp git", "passed")
    first = made(bad)
    later = made(bad, at=LATER, before=json.dumps(first))
    assert state_of(later, "git", "server") == ("failed", FIRST)
    works = made(good, at=LATER, before=json.dumps(later))
    assert state_of(works, "git", "server") == ("passed", None)
    assert state_of(made(bad, at=LATER, before=json.dumps(works)), "git", "server")[1] == LATER


@pytest.mark.parametrize("before", ["", "{", "[]", "{}", '{"parts": [3]}', '{"parts": [{}]}'])
def test_last_report_that_cannot_be_read_tells_nothing(before):
    found = made(row("Tools", "mcp git", "failed"), before=before)
    assert state_of(found, "git", "server") == ("failed", FIRST)


def test_one_of_two_replicas_that_fails_is_a_part():
    rows = [row("Services", "litellm is alive", s) for s in ("passed", "failed")]
    assert state_of(made(*rows), "models", "service") == ("partly", FIRST)
    named = {name for names in SERVICES.values() for name in names}
    assert REACHES_DATABASE in named


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
    bad = row(
        "Data", f"database {secret}", "failed", f"found ({secret})", f"look at {secret}, then"
    )
    text = json.dumps(made(bad, row("Data", secret, "passed"))["checks"])
    assert secret not in text and "hunter2" not in text
    assert "database" in text and "look at" in text and ", then" in text


def test_plain_words_stay_and_checks_that_passed_are_counted_alone():
    text = "HTTP 502 after 12.5 s: run site.yml, see /etc/intranet-mcp/services/litellm/config.yaml"
    found = made(row("Hosts", "drift llm1", "warning", text), row("Hosts", "disk llm1", "passed"))
    assert found["checks"] == [
        {"name": "drift llm1", "status": "warning", "found": text, "action": ""}
    ]
    assert found["count"] == 2
    assert len(made(row("Hosts", "x", "failed", "y " * 999))["checks"][0]["found"]) == 400
