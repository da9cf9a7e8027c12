# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether declared models fit into Ollama's memory, by the headers of weights that are there."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import client as ollama
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import gguf, memory

ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "memory_mb": {"type": "int"},
    "prompt_cache_mb": {"type": "int", "default": 0},
    "parallel": {"type": "int", "default": 1},
    "context_limit": {"type": "int"},
    "models": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "context": {"type": "int"},
            "weights": {"type": "path"},
        },
    },
}


def problems(wanted: dict[str, Any]) -> list[Finding]:
    """Return a problem for each model that is known here and does not fit."""
    found = []
    client = ollama.OllamaClient(HttpClient(wanted["url"], "Ollama", "url", timeout=5))
    for model in wanted["models"]:
        try:
            known = of_file(model) if model["weights"] else of_ollama(client, model["name"])
            if known:
                judge(model, *known, wanted)
        except ServiceError as error:
            found.append(Finding.of("memory", error))
    return found


def of_file(model: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
    """Return size and header of weights on this host, as `/api/show` would tell them."""
    path = model["weights"]
    if not os.path.exists(path):
        return None
    header = gguf.Header(path)
    values = {"general.architecture": header.architecture, **header.values}
    values.update(header.stretched(model["context"] or 0))
    return header.size, {"model_info": values}


def of_ollama(client: ollama.OllamaClient, name: str) -> tuple[int, dict[str, Any]] | None:
    """Return size and header of a model that Ollama has; None while there is no Ollama."""
    try:
        entry = client.find(name)
        return (entry["size"], client.show(name)) if entry else None
    except ServiceError:
        return None


def judge(model: dict[str, Any], size: int, shown: dict[str, Any], wanted: dict[str, Any]) -> int:
    """Return the bytes that the model takes, or raise with the numbers."""
    context = ollama.context_of(model["name"], shown, model["context"], wanted["context_limit"])
    demand = memory.demand(
        model["name"], size, shown, context, wanted["parallel"], bool(model["context"])
    )
    there = memory.Limits(wanted["memory_mb"], wanted["prompt_cache_mb"], memory.of_host())
    return memory.check(demand, there)
