# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What verify asks of models: each CLI's API, what room they leave, how fast they read. Pure.

`about` as for verify_users.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.clients.client_requests import (
    gemini_name,
    request_from,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    PASSED,
    part,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.people.models import TOOLS, can

# How long texts are in a request that is sent as a CLI sends it (bytes), and its answer (tokens). A
# prompt of full length would keep a CPU busy for minutes; its room is computed instead.
_SHORT_TEXT, _SHORT_ANSWER, _FEW_TOOLS = 64, 16, 2


def models_of(about: dict) -> list[dict]:
    """Return the models that must answer, as llm_health takes them."""
    return [
        model_checks(model, about["chat_checks"], about["requests"], about["facts"])
        for model in about["models"]
    ]


def model_checks(
    model: dict, chat_checks: list[str], shapes: dict | None = None, facts: list | None = None
) -> dict:
    """A declared model as llm_health takes it.

    shapes: of each CLI's opening request, as recorded. facts: what models can do, as from
    `people.models.declared_models`; tool calls are not asked of one that has none.
    """
    is_embedding = model.get("embedding") or model.get("mode") == "embedding"
    name = name_of(model)
    known = next((m for m in facts or [] if m["name"] == name), {"capabilities": None})
    checks = [c for c in chat_checks if can(known, TOOLS) or not c.endswith("tool_call")]
    return {
        "name": name,
        "gemini_name": gemini_name(name),
        "checks": ["models", "embedding"] if is_embedding else checks,
        "requests": {}
        if is_embedding
        else {
            client: request_from(shape, name, _SHORT_ANSWER, _SHORT_TEXT, _FEW_TOOLS)
            for client, shape in (shapes or {}).items()
        },
    }


def name_of(model: dict) -> str:
    """Return by which name people ask for a declared model, Ollama's or an API's."""
    return model.get("model_name") or model["name"]


def room_probe(models: list[dict], shapes: dict, url: str) -> list[dict]:
    """A probe of what CLIs leave of each chat model's context; none without such a model."""
    options = {
        "url": url,
        "key": "verify",
        "models": [
            {"name": model["name"], "context": model["context"]}
            for model in models
            if model["mode"] == "chat"
        ],
        "openings": {client: shape["bytes"] for client, shape in shapes.items()},
    }
    probe = {"name": "room", "kind": "room", "group": "Models", "options": options}
    return [probe] if options["models"] else []


def first_word(about: dict, checks: list[dict]) -> list[dict]:
    """Return the probe of how fast models read. checks: what the probes of models found."""
    seconds, timeout = about["first_word_seconds"], about["timeout"]
    return first_word_probe(
        about["facts"], checks, about["requests"], about["urls"], seconds, timeout
    )


def first_word_probe(
    models: list[dict], checks: list[dict], shapes: dict, urls: dict, seconds: float, timeout: int
) -> list[dict]:
    """A probe of how fast each chat model reads that answered; none without such a model.

    checks: what the probes of models found. urls: llm, mcp. seconds: within which the first word
    should come.
    """
    options = {
        "url": f"{urls['mcp']}/mcp",
        "key": "verify",
        "llm_url": urls["llm"],
        "api_key": "verify",
        "models": [
            model["name"]
            for model in models
            if model["mode"] == "chat" and _has_answered(model["name"], checks)
        ],
        "openings": {client: shape["bytes"] for client, shape in shapes.items()},
        "seconds": seconds,
        "timeout": timeout,
    }
    probe = {"name": "first word", "kind": "first_word", "group": "Models", "options": options}
    return [probe] if options["models"] else []


def _has_answered(model: str, checks: list[dict]) -> bool:
    """Whether a probe got words of a model; that it is listed is about no answer."""
    asked = part("model", model)
    return any(check.get("part") == asked and check["status"] == PASSED for check in checks)
