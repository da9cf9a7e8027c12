# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Compares what was measured of an MCP server with what is expected. Pure."""

from __future__ import annotations

import fnmatch
import hashlib
import json
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.examine import finding as _checks
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import PASSED

# What a model reads of a tool, and so what a fingerprint covers; the gateway takes the same.
_READ_BY_MODELS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")


def check(name: str, passed: bool | None, found: Any, expected: Any, action: str) -> dict[str, Any]:
    """Return one verdict; `passed` is None for a check that could not run."""
    status = _checks.verdict(passed)
    verdict = {"name": name, "status": status, "found": found, "expected": expected}
    return verdict if status == PASSED else {**verdict, "action": action}


def check_server(server: dict[str, Any], expected: dict[str, Any]) -> list[dict[str, Any]]:
    """Check name and version (a glob) of the server."""
    return [
        check(
            f"server_{field}",
            fnmatch.fnmatchcase(server.get(field) or "", expected[field]),
            server.get(field),
            expected[field],
            "check that the address is that of the intended server, and which version is deployed",
        )
        for field in ("name", "version")
        if expected.get(field)
    ]


def check_tools(
    names: list[str],
    exactly: list[str] | None = None,
    include: list[str] | None = None,
    at_least: int | None = None,
    exclude: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Check the names of the tools: an exact set, globs that must (not) occur, a number."""
    checks = []
    if exactly is not None:
        missing, extra = sorted(set(exactly) - set(names)), sorted(set(names) - set(exactly))
        action = f"missing: {missing or 'none'}, unexpected: {extra or 'none'}; correct the server"
        passed = not missing and not extra
        checks.append(check("tools", passed, sorted(names), sorted(exactly), action))
    if include is not None:
        missing = [glob for glob in include if not fnmatch.filter(names, glob)]
        action = f"missing: {missing}; check the server's configuration and what the key may see"
        checks.append(check("tools_include", not missing, sorted(names), include, action))
    if at_least is not None:
        action = "check whether upstream servers are away; read the server's log"
        checks.append(
            check("tools_min", len(names) >= at_least, len(names), f">= {at_least}", action)
        )
    if exclude is not None:
        seen = sorted({name for glob in exclude for name in fnmatch.filter(names, glob)})
        action = "check what the key's team may see"
        wanted = f"nothing like {', '.join(exclude)}"
        checks.append(check("tools_exclude", not seen, seen or "none of them", wanted, action))
    return checks


def fingerprints(tools: list[dict[str, Any]]) -> dict[str, str]:
    """Return SHA-256 digests, by name, of what a model reads of each tool."""
    digests = {}
    for tool in tools:
        read = {key: tool[key] for key in _READ_BY_MODELS if key in tool}
        text = json.dumps(read, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digests[tool["name"]] = hashlib.sha256(text.encode()).hexdigest()
    return digests


def check_lock(found: dict[str, str], locked: dict[str, str], path: str) -> list[dict[str, Any]]:
    """Check that every tool says of itself what it said when the lock file was written."""
    drifted = {
        "changed": sorted(n for n in found if n in locked and found[n] != locked[n]),
        "new": sorted(set(found) - set(locked)),
        "gone": sorted(set(locked) - set(found)),
    }
    texts = [f"{kind}: {', '.join(names)}" for kind, names in drifted.items() if names]
    expected = f"the {len(locked)} fingerprints of {path}"
    action = "read the new descriptions as a model would; when they are right, set lock to write"
    return [check("lock", not texts, "; ".join(texts) or "the same", expected, action)]


def check_latency(latency: dict[str, float], bound: float | None) -> list[dict[str, Any]]:
    """Check that no step took longer than the bound."""
    if bound is None:
        return []
    slow = {step: value for step, value in latency.items() if value > bound}
    action = "check the load of the server and of the proxies between"
    return [check("latency", not slow, latency, f"<= {bound:g} ms each", action)]


def check_call(result: dict[str, Any], expected: dict[str, Any]) -> list[dict[str, Any]]:
    """Check the result of a tool call."""
    outcome = "an error" if result["is_error"] else "a result"
    wanted = "an error" if expected.get("is_error") else "a result"
    checks = [
        check("call", outcome == wanted, _short(result["text"]), wanted, "read the tool's message")
    ]
    if outcome != wanted:
        return checks
    path = expected.get("path")
    try:
        value = at_path(result, path)
    except LookupError as error:
        return [*checks, check("call_path", False, str(error), path, "correct path or the tool")]
    if expected.get("equals") is not None:
        passed = _equal(value, expected["equals"])
        action = "check the tool, or correct what is expected"
        checks.append(check("call_equals", passed, _short(value), expected["equals"], action))
    if expected.get("contains") is not None:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        action = "check the tool, or correct what is expected"
        found = expected["contains"] in text
        shown = _around(text, expected["contains"]) if found else _short(text)
        checks.append(check("call_contains", found, shown, expected["contains"], action))
    return checks


def _around(text: str, part: str) -> str:
    """Return a part of a text with the little around it that says enough."""
    before, _part, after = text.partition(part)
    left, right = ("..." if len(side) > 30 else "" for side in (before, after))
    return f"{left}{before[-30:]}{part}{after[:30]}{right}"


def summarize(result: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a `tools/call` result that checks inspect."""
    parts = result.get("content") or []
    texts = [part.get("text") or "" for part in parts if part.get("type") == "text"]
    if result.get("resultType") == "input_required":
        texts = ["the tool asks for input: " + ", ".join(result.get("inputRequests") or {})]
    return {
        "is_error": bool(result.get("isError")) or result.get("resultType") == "input_required",
        "text": "\n".join(texts),
        "structured": result.get("structuredContent"),
    }


def at_path(result: dict[str, Any], path: str | None) -> Any:
    """Return the value at a dotted path (`items.0.name`) of the structured result.

    A server without structured results is read as JSON, if its text is that. Without a path the
    text itself is meant.
    """
    if not path:
        return result["text"]
    value = result["structured"]
    if value is None:
        try:
            value = json.loads(result["text"])
        except ValueError:
            raise LookupError(f"text that is no JSON: {_short(result['text'])!r}") from None
    for step in path.split("."):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise LookupError(f"nothing at {step!r} in {_short(value)!r}") from None
    return value


def _equal(value: Any, expected: Any) -> bool:
    if value == expected:
        return True
    # Options that come out of a template are strings.
    return (
        isinstance(expected, str) and not isinstance(value, str) and json.dumps(value) == expected
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 500 else text[:500] + "..."
