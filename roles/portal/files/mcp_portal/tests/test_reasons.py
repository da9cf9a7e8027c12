"""Why somebody may not use something, as far as the inventory says it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import lab
import msgspec
import pytest
from mcp_portal import reasons
from mcp_portal.site import Site
from mcp_portal.status import Part, Report

DENY = {"effect": "deny", "teams": [], "servers": ["*"], "tools": ["*"]}
OPEN = {"payments": {"models": ["small"], "servers": {"files": ["read_*"]}}}
TOOLS = {"files": {"offered": ["read_file", "write_file"], "left_out": ["drop"]}}


def site(**changes):
    raw = {**lab.SITE, "tools": TOOLS, "open": OPEN, **changes}
    return msgspec.convert(raw, Site)


def keys(found):
    return {name: why.key for name, why in found.items()}


def with_rules(*rules, **changes):
    named = [{"name": f"r{n}", **DENY, **rule} for n, rule in enumerate(rules)]
    return site(policy={"default": "allow", "rules": named}, **changes)


def test_model_outside_the_team_and_one_that_is_missing_differ():
    made = site(models=[{"name": name} for name in ("small", "large", "shown")])
    assert keys(reasons.of_models(made, "payments", ["shown"])) == {
        "small": "model_missing",
        "large": "model_team",
    }
    assert keys(reasons.of_models(made, "research", ["shown"]))["large"] == "model_missing"


def test_server_outside_the_team_says_which_setting_opens_it():
    assert keys(reasons.of_servers(site(), "payments", ["files"], None)) == {
        "tickets": "server_team"
    }
    assert not reasons.of_servers(site(), "payments", ["files", "tickets"], None)


def test_server_that_is_open_and_shows_nothing_is_down_or_asks_for_a_token():
    since = datetime(2026, 1, 1, 8, 30, tzinfo=UTC)
    report = Report(since, 1, [Part("server", "files", "failed", since)], [])
    made = site(personal={"tickets": "https://tickets.example.internal"})
    found = reasons.of_servers(made, "research", [], report)
    assert keys(found) == {"files": "server_down", "tickets": "server_token"}
    assert found["files"].values == {"when": "2026-01-01 08:30 UTC"}
    assert keys(reasons.of_servers(made, "research", ["tickets"], None)) == {
        "files": "server_missing"
    }


def test_tools_of_a_server_that_is_shown():
    found = reasons.of_tools(site(), "payments", "files", ["read_file"])
    assert keys(found) == {"write_file": "tool_team", "drop": "tool_server"}
    assert keys(reasons.of_tools(site(), "research", "files", ["read_file"])) == {
        "write_file": "tool_missing",
        "drop": "tool_server",
    }
    assert not reasons.of_tools(site(), "payments", "tickets", [])


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"tools": ["write_*"]}], "rule"),
        ([{"teams": ["pay*"]}], "rule"),
        ([{"teams": ["others"]}], "tool_team"),
        ([{"servers": ["!files"]}], "tool_team"),
        ([{"is_for_some": True}], "rule_maybe"),
        ([{"effect": "allow"}, {}], "tool_missing"),
        ([{"effect": "allow", "is_for_some": True}, {}], "rule"),
        ([{"tools": ["!write_file"]}], "tool_team"),
        # Whoever is in one of its teams, or has one of its keys or groups, is meant.
        ([{"teams": ["payments"], "is_for_some": True}], "rule"),
        ([{"teams": ["others"], "is_for_some": True}], "rule_maybe"),
        ([{"effect": "allow", "teams": ["payments"], "is_for_some": True}, {}], "tool_missing"),
    ],
)
def test_first_rule_that_concerns_the_team_is_named(rules, expected):
    found = reasons.of_tools(with_rules(*rules), "payments", "files", ["read_file"])
    assert found["write_file"].key == expected


def test_server_of_which_a_rule_opens_some_tools_is_not_closed():
    made = with_rules({"effect": "allow", "tools": ["read_*"]}, {})
    assert keys(reasons.of_servers(made, "research", [], None))["files"] == "server_missing"
    none = with_rules({"effect": "allow", "tools": []}, {})
    assert keys(reasons.of_servers(none, "research", [], None))["files"] == "rule"


def test_what_nothing_allows_is_closed_by_default():
    made = site(policy={"default": "deny", "rules": []})
    assert keys(reasons.of_servers(made, "research", [], None))["files"] == "default"


def test_pages_say_why(issuer, configure, sign_in, tmp_path):
    config = configure(issuer)
    rule = {"name": "no <b>writing</b>", **DENY, "tools": ["write_*"]}
    raw = {**lab.SITE, "tools": TOOLS, "policy": {"default": "allow", "rules": [rule]}}
    raw["open"] = {"payments": {"models": ["qwen3:8b"], "servers": {"files": ["*"]}}}
    raw["models"] = [*lab.SITE["models"], {"name": "secret-large"}]
    raw["tools"]["files"]["offered"].append("write_all")
    (tmp_path / "site.json").write_text(json.dumps(raw))
    with lab.running(config) as portal:
        alice = sign_in(portal, "alice")
        models, tools = (alice.get(f"/portal/{name}").text for name in ("models", "tools"))
        found = alice.get("/portal/tools?q=read").text
    assert "secret-large" in models and "models&#34; of the team" in models
    assert "tickets" in tools and "mcp&#34; of the team" in tools
    assert "no &lt;b&gt;writing&lt;/b&gt;" in tools and "gateway_policy_rules" in tools
    assert "cannot use" not in found
