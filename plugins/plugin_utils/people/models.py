# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What each declared model can do, and how much it reads and writes: one answer for all. Pure.

An Ollama says it of its models when they are deployed (`facts`: name to `capabilities` and
`context`); of a custom API the inventory says it, or nobody.
"""

from __future__ import annotations

import posixpath
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.clients.client_requests import (
    gemini_name,
)

# Names of Ollama's `/api/show`.
THINKING, TOOLS, VISION, COMPLETION, EMBEDDING = (
    "thinking",
    "tools",
    "vision",
    "completion",
    "embedding",
)

# Whatever a client calls it (`thinking`, `reasoning`, an effort), LiteLLM makes it one of these.
# Ollama refuses a request with it for a model that cannot think, and any client can do without.
THINKING_PARAMETERS = ["reasoning_effort", "thinking"]


def facts(declared: list[dict], results: list[dict]) -> dict[str, dict]:
    """Return what one Ollama's models can do, out of the results of `ollama_model`."""
    return {
        model["name"]: {"capabilities": sorted(done["capabilities"]), "context": done["context"]}
        for model, done in zip(declared, results, strict=True)
        if model.get("state", "present") == "present"
        and "capabilities" in done
        and done.get("digest") != ""  # not there yet, as check mode finds it
    }


def for_preflight(declared: list[dict], artifacts: dict, folder: str) -> list[dict[str, Any]]:
    """Return the models that are to be there, each with the place of weights that it comes with."""
    return [
        {
            "name": model["name"],
            "context": model.get("context"),
            "weights": posixpath.join(
                folder, posixpath.basename(artifacts[model["file"]]["member"])
            )
            if model.get("file") in artifacts
            else None,
        }
        for model in declared
        if model.get("state", "present") == "present"
    ]


def facts_of_all(hosts: list[dict[str, dict]]) -> dict[str, dict]:
    """Return what every Ollama's model of a name can: a request may meet any of them."""
    merged: dict[str, dict] = {}
    for host in hosts:
        for name, found in host.items():
            known = merged.setdefault(name, found)
            merged[name] = {
                "capabilities": [c for c in known["capabilities"] if c in found["capabilities"]],
                "context": min(known["context"], found["context"]),
            }
    return merged


def declared_models(
    ollama_models: list[dict],
    custom_apis: list[dict],
    known: dict[str, dict],
    max_tokens: int,
) -> list[dict[str, Any]]:
    """Return each model once: `name`, `mode`, `capabilities` (None: nobody said), `context` and
    `max_output` (tokens, 0: nobody said).

    known: what `facts_of_all` returned. max_tokens: longest answer where a model names none.
    """
    found: dict[str, dict[str, Any]] = {}
    for model in ollama_models:
        if model.get("state", "present") == "present":
            found.setdefault(model["name"], of_ollama(model, known, max_tokens))
    for api in custom_apis:
        one = of_custom_api(api)
        other = found.setdefault(one["name"], one)
        found[one["name"]] = {**other, **_narrower(one, other)}
    return list(found.values())


def of_ollama(model: dict, known: dict[str, dict], max_tokens: int) -> dict[str, Any]:
    """Return a model of Ollama; what a deployed one can wins over what the inventory expects."""
    told = known.get(model["name"], {})
    context = told.get("context") or model.get("context") or 0
    longest = model.get("max_tokens") or max_tokens
    is_embedding = model.get("embedding", False)
    return {
        "name": model["name"],
        "mode": "embedding" if is_embedding else "chat",
        "capabilities": told.get("capabilities"),
        "context": context,
        "max_output": 0 if is_embedding else min(longest, context // 2) if context else longest,
    }


def of_custom_api(api: dict) -> dict[str, Any]:
    """Return a model of a custom API, as the inventory describes it."""
    return {
        "name": api["model_name"],
        "mode": api.get("mode", "chat"),
        "capabilities": api.get("capabilities"),
        "context": api.get("context") or 0,
        "max_output": api.get("max_output") or 0,
    }


def api_keys(custom_apis: list[dict]) -> dict[str, str]:
    """Return the keys of custom APIs that have one, by LiteLLM's variables: API_KEY_1, API_KEY_2.

    One for each entry, not for each name: deployments that share a name may have keys of their own.
    """
    keys = (api.get("api_key") for api in custom_apis)
    return {f"API_KEY_{number}": key for number, key in enumerate(keys, 1) if key}


def litellm_connections(hosts: list[str], workers: int, pool: int) -> int:
    """Return the database connections that LiteLLM's workers on all hosts may hold at once."""
    return len(hosts) * int(workers) * int(pool)


def gemini_aliases(models: list[str]) -> dict[str, dict[str, Any]]:
    """Return LiteLLM's aliases for models whose own names Google's paths cannot have."""
    return {
        gemini_name(model): {"model": model, "hidden": True}
        for model in models
        if gemini_name(model) != model
    }


def _narrower(one: dict, other: dict) -> dict[str, Any]:
    """What two deployments of one name both do."""
    sizes = {
        size: min(filter(None, (one[size], other[size])), default=0)
        for size in ("context", "max_output")
    }
    said = [m["capabilities"] for m in (one, other) if m["capabilities"] is not None]
    common = [c for c in said[0] if c in said[-1]] if said else None
    return {**sizes, "capabilities": common}


def can(model: dict, capability: str) -> bool:
    """True unless somebody said that the model cannot."""
    return model["capabilities"] is None or capability in model["capabilities"]


def dropped_parameters(model: dict) -> list[str]:
    """Return the parameters that LiteLLM takes out of requests for a model."""
    dropped = [] if can(model, THINKING) else list(THINKING_PARAMETERS)
    return dropped if can(model, TOOLS) else [*dropped, "tools", "tool_choice", "functions"]


def litellm_model_info(model: dict, provider: str, price: dict | None = None) -> dict[str, Any]:
    """Return what LiteLLM is told about a deployment.

    Without the provider it finds a lone deployment of a model nowhere, and checks no length.
    price: US dollars for a million tokens of `input` and of `output`.
    """
    info: dict[str, Any] = {
        "mode": model["mode"],
        "litellm_provider": provider,
        "allowed_fails": 0,
    }
    for key, size in (("max_input_tokens", "context"), ("max_output_tokens", "max_output")):
        if model[size]:
            info[key] = model[size]
    if model["capabilities"] is not None:
        names = {"function_calling": TOOLS, "vision": VISION, "reasoning": THINKING}
        info.update({f"supports_{k}": v in model["capabilities"] for k, v in names.items()})
    for kind, dollars in (price or {}).items():
        info[f"{kind}_cost_per_token"] = float(dollars) / 1_000_000
    return info
