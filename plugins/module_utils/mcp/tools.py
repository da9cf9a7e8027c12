# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tools that clients do not show: what the official SDKs refuse, what single CLIs hide. Pure.

The rules for CLIs are those of the versions in `client_manifest`; tests/clients runs Claude Code
and Codex against a server with such tools, and fails when a new version behaves in another way.
Gemini CLI, Qwen Code and opencode showed each of these tools when they were tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.mcp.checks import check

_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}\Z")
_SHOWN = 10
_MEMBERS = {
    "title": str,
    "description": str,
    "annotations": dict,
    "outputSchema": dict,
    "_meta": dict,
}


def usable(tools: list[Any]) -> list[dict[str, Any]]:
    """Return the tools that can be called at all: those with a name."""
    return [tool for tool in tools if isinstance(tool, dict) and _name(tool)]


def refused(tools: list[Any]) -> dict[str, str]:
    """Return, by tool, why the official SDKs refuse a list with it (and so all the others)."""
    problems = {}
    for number, tool in enumerate(tools, 1):
        label = (_name(tool) if isinstance(tool, dict) else "") or f"#{number}"
        problem = _problem(tool)
        if problem:
            problems[label] = problem
    return problems


def _name(tool: dict[str, Any]) -> str:
    name = tool.get("name")
    return name if isinstance(name, str) else ""


def _problem(tool: Any) -> str:
    if not isinstance(tool, dict):
        return "it is not an object"
    if not _name(tool):
        return "it has no name"
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict):
        return "its inputSchema is " + ("not an object" if "inputSchema" in tool else "missing")
    if schema.get("type") != "object":
        return 'the type of its inputSchema is not "object"'
    if not isinstance(schema.get("properties", {}), dict):
        return "the properties of its inputSchema are not an object"
    wrong = [m for m, kind in _MEMBERS.items() if m in tool and not isinstance(tool[m], kind)]
    return f"its {wrong[0]} is of a wrong type" if wrong else ""


def hidden(tools: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the tools that a CLI of the bundle does not show its model, and why."""
    found = []
    for tool in tools:
        schema = tool.get("inputSchema")
        for client, because in _hiders(schema if isinstance(schema, dict) else {}):
            found.append({"tool": tool["name"], "client": client, "because": because})
    return found


def _hiders(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    properties = schema.get("properties")
    odd = [key for key in properties if not _KEY.match(key)] if isinstance(properties, dict) else []
    has_tuple = any(isinstance(part.get("items"), list) for part in _parts(schema))
    tuples = "items is a list, which is prefixItems since JSON Schema 2020-12"
    dialect = schema.get("$schema")
    if odd:
        yield "Claude Code", f"the argument {odd[0][:80]!r} does not match [a-zA-Z0-9_.-]{{1,64}}"
    elif has_tuple and (not isinstance(dialect, str) or "2020-12" in dialect):
        yield "Claude Code", tuples
    if has_tuple:
        yield "Codex", tuples


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schemas of arguments, and of what is in them."""
    if not isinstance(schema, dict):
        return
    yield schema
    properties = schema.get("properties")
    inner = list(properties.values()) if isinstance(properties, dict) else []
    for part in [*inner, schema.get("items")]:
        yield from _parts(part)


def check_lists(tools: list[Any], faults: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check that clients accept the list; name what the gateway repaired and what CLIs hide."""
    problems = [f"{name}: {problem}" for name, problem in refused(tools).items()]
    action = "fix the server: the official SDKs refuse its whole list; the gateway repairs it"
    found = _few(problems) or "every tool"
    verdicts = [check("tools_accepted", not problems, found, "every tool", action)]
    if faults:
        told = [
            f"{f.get('server')}: {f.get('kind')} {f.get('name') or '*'}: {f.get('problem')}; "
            f"{f.get('outcome')}"
            for f in faults
        ]
        verdicts.append(check("lists_repaired", True, _few(told), "lists that clients take", ""))
    unseen = [f"{h['tool']} by {h['client']} ({h['because']})" for h in hidden(usable(tools))]
    if unseen:
        verdicts.append(check("tools_hidden", True, _few(unseen), "tools that every CLI shows", ""))
    return verdicts


def _few(texts: list[str]) -> str:
    more = f" (and {len(texts) - _SHOWN} more)" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
