# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probe_speed
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify_models

PROMPTS = {"claude": 19659, "opencode": 7762}
SHAPES = {"claude": {"bytes": 78638}}
URLS = {"llm": "http://litellm", "mcp": "http://gateway"}
MODELS = [{"name": "m", "mode": "chat"}, {"name": "e", "mode": "embedding"}]


@pytest.mark.parametrize(("speed", "status"), [(5000, "passed"), (48, "warning")])
def test_a_wait_of_minutes_is_a_warning_that_says_what_helps(speed, status):
    found = probe_speed.judge("first word m", speed, PROMPTS, 60)
    assert found.status == status
    assert f"claude {round(19659 / speed)} s, opencode {round(7762 / speed)} s" in found.found
    assert ("GPU" in found.action and "globs" in found.action) == (status == "warning")


def passed(check):
    part = None if check == "models" else ("model", "m")  # as the probe of models says it
    return Finding(f"llm m {check}", status="passed", part=part).as_row()


@pytest.mark.parametrize("answered", ["chat", "claude request"])
def test_a_model_that_answered_is_measured_and_no_other(answered):
    checks = [passed("models"), passed(answered)]
    (probe,) = verify_models.first_word_probe(MODELS, checks, SHAPES, URLS, 60, 180)
    assert probe["options"]["models"] == ["m"]
    assert probe["options"]["openings"] == {"claude": 78638}
    checks[1]["status"] = "failed"
    assert verify_models.first_word_probe(MODELS, checks, SHAPES, URLS, 60, 180) == []


@pytest.fixture
def platform(service):
    """Answers as LiteLLM and as the gateway do."""

    def mcp(exchange):
        body = exchange.json()
        if body["method"] == "initialize":
            about = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
            result = {**about, "serverInfo": {"name": "g", "version": "1"}}
        else:
            result = {"tools": [{"name": "t", "description": "x" * 4000, "inputSchema": {}}]}
        return 200, {"jsonrpc": "2.0", "id": body.get("id"), "result": result}

    service.replies["POST", "/mcp"] = mcp
    service.replies["POST", "/v1/chat/completions"] = 200, {"usage": {"prompt_tokens": 70}}
    return service


def probed(run_module, platform):
    (probe,) = verify_models.first_word_probe(
        MODELS,
        [passed("chat")],
        SHAPES,
        {"llm": platform.url, "mcp": platform.url},
        60,
        20,
    )
    result = run_module("health", probes=[probe], keys={"verify": "sk-1"}, required=False)
    (check,) = result["checks"]
    return check


def test_each_model_is_asked_for_one_token_by_prompts_of_its_own(run_module, platform):
    check = probed(run_module, platform)
    assert check["name"] == "first word m" and "claude" in check["found"]
    asked = [e.json() for e in platform.seen("POST", "/v1/chat/completions")]
    assert {body["max_tokens"] for body in asked} == {1}
    assert len({body["messages"][0]["content"][:8] for body in asked}) == len(asked) == 4


@pytest.mark.parametrize(
    ("path", "found"),
    [("/v1/chat/completions", "answered 503"), ("/mcp", "503")],
)
def test_what_keeps_it_from_measuring_is_a_warning(run_module, platform, path, found):
    platform.replies["POST", path] = 503, {"error": "busy"}
    check = probed(run_module, platform)
    assert check["status"] == "warning" and "not measured" in check["found"]
    assert found in check["found"]
