# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probe_room
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify_models

TOOLS = [{"name": "files__read", "description": "x" * 3960, "inputSchema": {}, "title": "y" * 9}]


@pytest.mark.parametrize(
    ("context", "status"),
    [(65536, "passed"), (20000, "warning"), (8192, "failed"), (0, "not_applicable")],
)
def test_room_is_what_opening_prompt_and_tools_leave(context, status):
    found = probe_room.judge("room m claude", context, 40_000, TOOLS)
    assert found.status == status
    assert "1005" in found.found and "10000" in found.found
    if status in ("warning", "failed"):
        assert "globs" in found.action


def test_verify_asks_for_room_of_chat_models_only():
    models = [
        {"name": "m", "mode": "chat", "context": 8192},
        {"name": "e", "mode": "embedding", "context": 512},
    ]
    (probe,) = verify_models.room_probe(models, {"claude": {"bytes": 4000}}, "http://gateway/mcp")
    assert probe["options"]["models"] == [{"name": "m", "context": 8192}]
    assert probe["options"]["openings"] == {"claude": 4000}
    assert verify_models.room_probe(models[1:], {}, "http://gateway/mcp") == []


def test_verify_sends_requests_to_chat_models_and_no_tool_calls_to_models_without_tools():
    shapes = {"claude": {"path": "/v1/messages", "headers": {}, "body": {"messages": []}}}
    facts = [{"name": "m", "capabilities": ["completion"]}]
    checks = ["models", "chat", "tool_call", "messages_tool_call"]
    found = verify_models.model_checks({"name": "m"}, checks, shapes, facts)
    assert found["checks"] == ["models", "chat"] and set(found["requests"]) == {"claude"}
    assert verify_models.model_checks({"name": "m"}, checks, shapes)["checks"] == checks
    assert (
        verify_models.model_checks({"name": "e", "embedding": True}, checks, shapes)["requests"]
        == {}
    )
