# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""When the first word of each CLI comes on this platform: measured once for each model."""

from __future__ import annotations

import functools
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.clients.client_requests import (
    BYTES_PER_TOKEN,
    tokens_of,
)
from ansible_collections.intranet.mcp.plugins.module_utils.clients.prompt_speed import (
    seconds_of,
    sentence,
    tokens_per_second,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    ServiceError,
    Unexpected,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    PASSED,
    WARNING,
    Finding,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.probe_room import tools_at
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.shapes import SHAPES, dig

ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "key": {"type": "str", "no_log": True},
    "llm_url": {"type": "str", "required": True},
    "api_key": {"type": "str", "no_log": True},
    "models": {"type": "list", "elements": "str", "required": True},
    "openings": {"type": "dict", "required": True},
    "seconds": {"type": "float", "default": 60},
    "timeout": {"type": "int", "default": 120},
}


def first_word(name: str, params: dict[str, Any]) -> list[Finding]:
    """Measure one model after the other: they may share a machine.

    What keeps it from measuring is judged by other probes, so it is a warning here.
    """
    client = HttpClient(params["llm_url"], "the LLM API", "llm_url", timeout=params["timeout"])
    try:
        tools = tokens_of(tools_at(params["url"], params["key"], params["timeout"]))
    except ServiceError as error:
        return [_not_measured(name, error)]
    openings = params["openings"].items()
    prompts = {cli: int(size) // BYTES_PER_TOKEN + tools for cli, size in openings}
    rows = []
    for model in params["models"]:
        ask = functools.partial(_tokens_read, client, params["api_key"], model)
        try:
            speed = tokens_per_second(ask)
            rows.append(judge(f"{name} {model}", speed, prompts, params["seconds"]))
        except ServiceError as error:
            rows.append(_not_measured(f"{name} {model}", error))
    return rows


def _not_measured(name: str, error: ServiceError) -> Finding:
    return Finding(
        name, f"not measured: {error.found}", error.expected, error.action, status=WARNING
    )


def judge(name: str, speed: float, prompts: dict[str, int], seconds: float) -> Finding:
    """Return the verdict over one model. prompts: tokens by CLI, tools included. Pure."""
    slowest = max((seconds_of(speed, size) for size in prompts.values()), default=0)
    action = (
        "a GPU or a smaller model reads faster; fewer tools (mcp of a team: globs of servers' "
        "tools) and a shorter prompt (docs/en/models.md says what each CLI offers) leave less "
        "to read; who can wait raises verify_first_word_seconds"
    )
    status = WARNING if slowest > seconds else PASSED
    expected = f"the first word within {seconds:g} s, the first time; a model server keeps the rest"
    return Finding(name, sentence(speed, prompts), expected, action, status=status)


def _tokens_read(client: HttpClient, key: str, model: str, text: str) -> int:
    """Ask for a single token, and return how many the prompt had."""
    shape = SHAPES["chat"]
    path, body = shape.path(model, False), shape.body(model, text, 1)
    reply = client.request("POST", path, body=body, headers=shape.headers(key))
    tokens = dig(reply.json(), "usage", "prompt_tokens")
    if not reply.ok or not isinstance(tokens, int):
        raise Unexpected(
            f"POST {path} answered {reply.status}: {reply.text[:200]}",
            "200 with usage.prompt_tokens",
            f"see what llm {model} found",
        )
    return tokens
