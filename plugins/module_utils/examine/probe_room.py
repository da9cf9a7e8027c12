# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How much of a model's context a CLI's opening prompt and the tools leave for work."""

from __future__ import annotations

from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.clients.client_requests import (
    BYTES_PER_TOKEN,
    tokens_of,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    WARNING,
    Finding,
)
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import client as mcp

ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "key": {"type": "str", "no_log": True},
    "models": {"type": "list", "elements": "dict", "required": True},
    "openings": {"type": "dict", "required": True},
    "timeout": {"type": "int", "default": 60},
}


def room(name: str, params: dict[str, Any]) -> list[Finding]:
    """List the gateway's tools once, and judge every pair of model and CLI."""
    tools = tools_at(params["url"], params["key"], params["timeout"])
    return [
        judge(f"{name} {model['name']} {client}", model["context"], int(opening), tools)
        for model in params["models"]
        for client, opening in params["openings"].items()
    ]


def tools_at(url: str, key: str, timeout: int) -> list[dict[str, Any]]:
    """Return the tools that a key is shown."""
    bearer = {"Authorization": f"Bearer {key}"}
    http = HttpClient(url, "the MCP server", "url", headers=bearer, timeout=timeout)
    with mcp.session(http, "streamable_http", "legacy", mcp.LEGACY_VERSIONS[0]) as session:
        return session.tools()


def judge(name: str, context: int, opening_bytes: int, tools: list[dict]) -> Finding:
    """Return the verdict over one model and one CLI. Pure."""
    opening, of_tools = opening_bytes // BYTES_PER_TOKEN, tokens_of(tools)
    if not context:
        found = f"nobody said how much context it has; opening {opening}, tools {of_tools} tokens"
        return Finding(name, found, status=NOT_APPLICABLE)
    left = context - opening - of_tools
    found = (
        f"{context} tokens of context - {opening} of its opening prompt - {of_tools} of "
        f"{len(tools)} tools = {left}"
    )
    status = FAILED if left <= 0 else WARNING if left * 2 < context else PASSED
    action = (
        "give the model more context (context in ollama_models or litellm_custom_apis), choose "
        "another, or give teams fewer tools (mcp of a team: globs of servers' tools); where nobody "
        "uses it with this CLI, put the check's name into verify_advisory"
    )
    return Finding(name, found, f"half of it left ({context // 2})", action, status=status)
