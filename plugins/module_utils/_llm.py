# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probes of an OpenAI-compatible API, as the CLIs use it. Each returns one `Check`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils._errors import ServiceError, Unexpected
from ansible_collections.intranet.mcp.plugins.module_utils._http import HttpClient, Reply

PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"

_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Returns the current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Name of the city"}},
            "required": ["city"],
        },
    },
}


@dataclass
class Check:
    """Outcome of one probe. Times are milliseconds; `first_ms` is the first streamed piece."""

    name: str
    model: str = ""
    status: str = UNKNOWN
    found: str = ""
    expected: str = ""
    action: str = ""
    milliseconds: float = 0.0
    first_ms: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class LlmProbe:
    """Asks one API the questions a user's CLI asks."""

    def __init__(self, client: HttpClient, key: str, max_tokens: int = 16) -> None:
        self._client = client
        self._key = key
        self._max_tokens = max_tokens

    def run(self, name: str, model: str = "") -> Check:
        """Carry out the probe called `name`; a broken service is a failed check, no exception."""
        check = Check(name, model)
        started = time.monotonic()
        try:
            getattr(self, f"_{name}")(check, started)
        except ServiceError as error:
            check.status = FAILED
            check.found, check.expected, check.action = error.found, error.expected, error.action
        check.milliseconds = _elapsed(started)
        return check

    def _models(self, check: Check, started: float) -> None:
        check.expected = f"{check.model} among the models"
        listed = self._ask("GET", "/v1/models").json() or {}
        names = [entry.get("id") for entry in listed.get("data", [])]
        self._settle(check, check.model in names, ", ".join(map(str, names)) or "no model")

    def _chat(self, check: Check, started: float) -> None:
        check.expected = "an answer with text"
        reply = self._ask("POST", "/v1/chat/completions", self._chat_body(check.model))
        text = _dig(reply.json(), "choices", 0, "message", "content")
        self._settle(check, bool(text), repr(text))

    def _stream(self, check: Check, started: float) -> None:
        check.expected = "text in pieces, then [DONE]"
        text, ended = "", False
        for event in self._events(self._chat_body(check.model)):
            ended = event == "[DONE]"
            piece = None if ended else _dig(json.loads(event), "choices", 0, "delta", "content")
            if piece:
                text += piece
                check.first_ms = check.first_ms or _elapsed(started)
        self._settle(check, bool(text) and ended, f"{text!r}{'' if ended else ', never ended'}")

    def _tool_call(self, check: Check, started: float) -> None:
        check.expected = "a streamed call of get_weather with a city"
        body = self._chat_body(check.model, "What is the weather in Paris?")
        name, arguments = "", ""
        for event in self._events({**body, "tools": [_TOOL], "max_tokens": 128}):
            delta = {} if event == "[DONE]" else _dig(json.loads(event), "choices", 0, "delta")
            for call in (delta or {}).get("tool_calls") or []:
                check.first_ms = check.first_ms or _elapsed(started)
                name += _dig(call, "function", "name") or ""
                arguments += _dig(call, "function", "arguments") or ""
        is_called = name == "get_weather" and "city" in (_decoded(arguments) or {})
        self._settle(check, is_called, f"{name}({arguments})" if name else "no tool call")
        check.action = (
            "" if is_called else "use a model that calls tools, and the ollama_chat/ prefix"
        )

    def _embedding(self, check: Check, started: float) -> None:
        check.expected = "a vector"
        body = {"model": check.model, "input": "intranet"}
        vector = _dig(self._ask("POST", "/v1/embeddings", body).json(), "data", 0, "embedding")
        self._settle(check, bool(vector), f"{len(vector or [])} numbers")

    def _denied(self, check: Check, started: float) -> None:
        """A key that was never issued, and no key at all, must both be turned away."""
        check.expected = "401 without a key and with an unknown one"
        wrong = {"Authorization": f"Bearer sk-{secrets.token_hex(16)}"}
        statuses = [
            self._client.request("GET", "/v1/models", headers=headers).status
            for headers in ({}, wrong)
        ]
        self._settle(check, statuses == [401, 401], " and ".join(map(str, statuses)))

    def _settle(self, check: Check, is_good: bool, found: str) -> None:
        check.status = PASSED if is_good else FAILED
        check.found = found[:300]

    def _chat_body(self, model: str, text: str = "Say hello.") -> dict[str, Any]:
        return {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": self._max_tokens,
            "temperature": 0,
        }

    def _ask(self, method: str, path: str, body: Any = None) -> Reply:
        reply = self._client.request(method, path, body=body, headers=self._authorization())
        if not reply.ok:
            raise self._refused(method, path, reply.status, reply.text)
        return reply

    def _events(self, body: dict[str, Any]) -> Iterator[str]:
        """Payloads of a server-sent event stream."""
        path = "/v1/chat/completions"
        body = {**body, "stream": True}
        with self._client.stream("POST", path, body, headers=self._authorization()) as response:
            if response.status != 200:
                text = response.read(2000).decode("utf-8", "replace")
                raise self._refused("POST", path, response.status, text)
            for line in response:
                if line.startswith(b"data:"):
                    yield line[5:].strip().decode("utf-8", "replace")

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    def _refused(self, method: str, path: str, status: int, text: str) -> Unexpected:
        return Unexpected(
            f"{method} {path} answered {status}: {text[:300]}",
            "200",
            f"read the log of {self._client.service}",
        )


def _elapsed(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _dig(value: Any, *path: Any) -> Any:
    """Follow keys and positions; None where the path ends early."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
