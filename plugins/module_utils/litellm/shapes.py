# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How each API is spoken: what a request looks like, and where text stands in the answer. Pure."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """One API. Functions of a reply take decoded JSON; `piece`, `call` and `is_end` one event's.

    `thought` is what a model that thinks streams before its answer. `tool` makes a declaration out
    of name, description and schema; `call` returns pieces of a called tool's name and arguments.
    `ends_with` says in words what ends a stream.
    """

    path: Callable[[str, bool], str]
    body: Callable[[str, str, int], dict[str, Any]]
    headers: Callable[[str], dict[str, str]]
    text: Callable[[Any], Any]
    piece: Callable[[Any], Any]
    thought: Callable[[Any], Any]
    is_end: Callable[[Any], bool]
    ends_with: str
    tool: Callable[[str, str, dict[str, Any]], dict[str, Any]]
    call: Callable[[Any], tuple[str, str]]


def dig(value: Any, *path: Any) -> Any:
    """Follow keys and positions; None where the path ends early."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def error_in(event: Any) -> str:
    """Return what an event says went wrong, empty when nothing did."""
    found = dig(event, "error") or dig(event, "response", "error")
    if not found:
        return ""
    return str(dig(found, "message") or found)


def bearer(key: str) -> dict[str, str]:
    """Return the header that OpenAI's clients, Codex and Claude Code send."""
    return {"Authorization": f"Bearer {key}"}


def _chat_body(model: str, text: str, max_tokens: int) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
        "temperature": 0,
    }


def _responses_body(model: str, text: str, max_tokens: int) -> dict[str, Any]:
    # Codex sends its turns as a list of messages, and asks that nothing be stored.
    turn = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return {
        "model": model,
        "input": [turn],
        "max_output_tokens": max_tokens,
        "temperature": 0,
        "store": False,
    }


def _gemini_body(_model: str, text: str, max_tokens: int) -> dict[str, Any]:
    return {
        "contents": [{"role": "user", "parts": [{"text": text}]}],
        "generationConfig": {"maxOutputTokens": max_tokens, "temperature": 0},
    }


def _gemini_path(model: str, is_streamed: bool) -> str:
    name = urllib.parse.quote(model, safe=":/")
    verb = "streamGenerateContent?alt=sse" if is_streamed else "generateContent"
    return f"/v1beta/models/{name}:{verb}"


def _gemini_text(reply: Any) -> str:
    parts = dig(reply, "candidates", 0, "content", "parts") or []
    return "".join(str(dig(part, "text") or "") for part in parts)


def _messages_text(reply: Any) -> str:
    parts = dig(reply, "content") or []
    return "".join(str(dig(part, "text") or "") for part in parts if dig(part, "type") == "text")


def _responses_text(reply: Any) -> str:
    contents = [part for item in dig(reply, "output") or [] for part in dig(item, "content") or []]
    return "".join(str(dig(part, "text") or "") for part in contents)


def _chat_call(event: Any) -> tuple[str, str]:
    called = dig(event, "choices", 0, "delta", "tool_calls", 0, "function")
    return dig(called, "name") or "", dig(called, "arguments") or ""


def _messages_call(event: Any) -> tuple[str, str]:
    name = dig(event, "content_block", "name") if dig(event, "content_block") else ""
    return name or "", dig(event, "delta", "partial_json") or ""


def _responses_call(event: Any) -> tuple[str, str]:
    item = dig(event, "item")
    is_whole = dig(event, "type") == "response.output_item.done"
    if not is_whole or dig(item, "type") != "function_call":
        return "", ""
    return dig(item, "name") or "", dig(item, "arguments") or ""


def _gemini_call(event: Any) -> tuple[str, str]:
    for part in dig(event, "candidates", 0, "content", "parts") or []:
        if dig(part, "functionCall"):
            called = part["functionCall"]
            return dig(called, "name") or "", json.dumps(dig(called, "args") or {})
    return "", ""


SHAPES = {
    "chat": Shape(
        path=lambda _model, _is_streamed: "/v1/chat/completions",
        body=_chat_body,
        headers=bearer,
        text=lambda reply: dig(reply, "choices", 0, "message", "content"),
        piece=lambda event: dig(event, "choices", 0, "delta", "content"),
        thought=lambda event: dig(event, "choices", 0, "delta", "reasoning_content"),
        is_end=lambda event: event == "[DONE]",
        ends_with="[DONE]",
        tool=lambda name, about, schema: {
            "type": "function",
            "function": {"name": name, "description": about, "parameters": schema},
        },
        call=_chat_call,
    ),
    "messages": Shape(  # Claude Code
        path=lambda _model, _is_streamed: "/v1/messages",
        body=_chat_body,
        headers=lambda key: {**bearer(key), "anthropic-version": "2023-06-01"},
        text=_messages_text,
        piece=lambda event: dig(event, "delta", "text"),
        thought=lambda event: dig(event, "delta", "thinking"),
        is_end=lambda event: dig(event, "type") == "message_stop",
        ends_with="message_stop",
        tool=lambda name, about, schema: {
            "name": name,
            "description": about,
            "input_schema": schema,
        },
        call=_messages_call,
    ),
    "responses": Shape(  # Codex
        path=lambda _model, _is_streamed: "/v1/responses",
        body=_responses_body,
        headers=bearer,
        text=_responses_text,
        piece=lambda event: (
            dig(event, "delta") if dig(event, "type") == "response.output_text.delta" else None
        ),
        thought=lambda event: (
            dig(event, "delta") if "reasoning" in str(dig(event, "type") or "") else None
        ),
        # A short answer is cut by the limit this check sets, which is no fault.
        is_end=lambda event: dig(event, "type") in ("response.completed", "response.incomplete"),
        ends_with="response.completed",
        tool=lambda name, about, schema: {
            "type": "function",
            "name": name,
            "description": about,
            "parameters": schema,
        },
        call=_responses_call,
    ),
    "gemini": Shape(  # Gemini CLI
        path=_gemini_path,
        body=_gemini_body,
        headers=lambda key: {"x-goog-api-key": key},
        text=_gemini_text,
        piece=_gemini_text,
        thought=lambda _event: None,  # comes as text
        is_end=lambda event: bool(dig(event, "candidates", 0, "finishReason")),
        ends_with="a finishReason",
        tool=lambda name, about, schema: {
            "functionDeclarations": [{"name": name, "description": about, "parameters": schema}]
        },
        call=_gemini_call,
    ),
}


# How a path ends, without its query, in the order of SHAPES.
_ENDS = {
    "chat": "/chat/completions",
    "messages": "/messages",
    "responses": "/responses",
    "gemini": "GenerateContent",
}


def shape_of_path(path: str) -> Shape:
    """Return the API that is asked at a path."""
    plain = path.partition("?")[0]
    return next(SHAPES[name] for name, end in _ENDS.items() if plain.endswith(end))
