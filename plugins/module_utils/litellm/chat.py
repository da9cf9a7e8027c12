# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probes of an LLM API, as the CLIs use it. Each returns one `Check`."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.clients.client_requests import (
    parameters_of,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    ServiceError,
    TimedOut,
    Unexpected,
    Unreachable,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient, Reply
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    UNKNOWN,
    verdict,
)
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.shapes import (
    SHAPES,
    Shape,
    bearer,
    dig,
    error_in,
    shape_of_path,
)

PLAIN = tuple(SHAPES)
# How each check of a shape is called, by the shape; OpenAI's chat has the plain names.
_OTHERS = PLAIN[1:]
STREAMED = {"stream": "chat", **{f"{name}_stream": name for name in _OTHERS}}
CALLING = {"tool_call": "chat", **{f"{name}_tool_call": name for name in _OTHERS}}
# In the order in which they make sense: the first answer may have to load the model.
MODEL_CHECKS = (
    "models",
    *("chat", "stream", "tool_call"),
    *(f"{name}{what}" for name in _OTHERS for what in ("", "_stream", "_tool_call")),
    "embedding",
)
DEFAULT_CHECKS = ("models", "chat", "stream", "tool_call")
CALLERS = ("no_key", "wrong_key", "revoked_key")

REFUSED = (401, 403)
ASK_AGAIN_SECONDS = 0.5

_TOOL = "get_weather"
_TOOL_ABOUT = "Returns the current weather of a city"
_TOOL_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Name of the city"}},
    "required": ["city"],
}

ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "api_key": {"type": "str", "required": True, "no_log": True},
    "models": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "gemini_name": {"type": "str"},
            "checks": {
                "type": "list",
                "elements": "str",
                "choices": list(MODEL_CHECKS),
                "default": list(DEFAULT_CHECKS),
            },
            "requests": {"type": "dict", "default": {}},
        },
    },
    "denies": {
        "type": "list",
        "elements": "str",
        "choices": list(CALLERS),
        "default": ["no_key", "wrong_key"],
    },
    "revoked_key": {"type": "str", "no_log": True},
    "revoked_within_seconds": {"type": "float", "default": 0},
    "denied_models": {"type": "list", "elements": "str", "default": []},
    "max_tokens": {"type": "int", "default": 16, "no_log": False},
    "timeout": {"type": "int", "default": 120},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
}


@dataclass
class Check:
    """Outcome of one probe. Times are milliseconds; `first_ms` is the first streamed piece.

    model: as it was asked for. declared: its entry in the options, which may have another name.
    """

    name: str
    model: str = ""
    declared: str = ""
    status: str = UNKNOWN
    found: str = ""
    expected: str = ""
    action: str = ""
    milliseconds: float = 0.0
    first_ms: float | None = None
    is_silent: bool = field(default=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        told = asdict(self)
        del told["is_silent"]
        return told

    def conclude(self, is_good: bool | None, found: str, action: str = "") -> None:
        """Give the verdict; None where nothing could be judged."""
        self.status, self.found = verdict(is_good), found[:300]
        self.action = "" if is_good else action


def checks_of(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Carry out everything that options of `llm_health` ask for."""
    client = HttpClient(
        params["url"],
        service="the LLM API",
        setting="url",
        timeout=params["timeout"],
        validate_certs=params["validate_certs"],
        ca_path=params["ca_path"],
    )
    probe = LlmProbe(client, params["api_key"], params["max_tokens"])
    checks = [check for model in params["models"] for check in probe.of_model(**model)]
    checks += [probe.denied_model(model) for model in params["denied_models"]]
    for caller in params["denies"]:
        checks.append(probe.denies(caller, params["revoked_key"], params["revoked_within_seconds"]))
    return [check.as_dict() for check in checks]


class LlmProbe:
    """Asks one API the questions a user's CLI asks."""

    def __init__(self, client: HttpClient, key: str, max_tokens: int = 16) -> None:
        self._client = client
        self._key = key
        self._max_tokens = max_tokens

    def of_model(
        self,
        name: str,
        checks: list[str],
        gemini_name: str | None = None,
        requests: dict[str, dict[str, Any]] | None = None,
    ) -> list[Check]:
        """Carry out all checks of a model; one that is away or silent is waited for once.

        requests: of CLIs, by the CLI's name, each with `path`, `headers` and `body`.
        """
        done: list[Check] = []
        recorded = {f"{client}_request": request for client, request in (requests or {}).items()}
        titles = [*checks, *recorded]
        for place, title in enumerate(titles):
            if title in recorded:
                done.append(self.request(title, name, recorded[title]))
            else:
                asked = gemini_name if title.startswith("gemini") else name
                done.append(self.run(title, asked or name))
            done[-1].declared = name
            unasked = titles[place + 1 :]
            if done[-1].is_silent and unasked:
                rest = Check("unasked", name, name, expected="an answer")
                rest.conclude(None, f"not tried after {title}: {', '.join(unasked)}", "see there")
                return [*done, rest]
        return done

    def run(self, name: str, model: str = "") -> Check:
        """Carry out the probe called `name`; a broken service is a failed check, no exception."""
        if name in PLAIN:
            return self._timed(Check(name, model), self._plain, SHAPES[name])
        if name in STREAMED:
            return self._timed(Check(name, model), self._stream, SHAPES[STREAMED[name]])
        if name in CALLING:
            return self._timed(Check(name, model), self._tool_call, SHAPES[CALLING[name]])
        return self._timed(Check(name, model), getattr(self, f"_{name}"))

    def request(self, title: str, model: str, request: dict[str, Any]) -> Check:
        """Send what a CLI sends first; the answer may be text, a thought or a call of a tool."""
        return self._timed(Check(title, model), self._recorded, request)

    def denies(self, caller: str, revoked_key: str | None = None, within: float = 0) -> Check:
        """Check that somebody without a valid key is turned away."""
        key = {
            "no_key": "",
            "wrong_key": f"sk-{secrets.token_hex(16)}",
            "revoked_key": revoked_key or "",
        }[caller]
        check = Check(f"denies_{caller}", expected="HTTP 401 or 403")
        if caller == "revoked_key":
            check.expected += f" within {within:g} s"
            if not key:
                check.conclude(None, "no revoked key was given", "give revoked_key")
                return check
        return self._timed(check, self._knock, key, within)

    def denied_model(self, model: str) -> Check:
        """Check that this key, though valid, may not use a model."""
        check = Check("denies_model", model, expected="a valid key, and HTTP 401 or 403")
        return self._timed(check, self._ask_for_forbidden)

    def _timed(self, check: Check, probe: Any, *arguments: Any) -> Check:
        started = time.monotonic()
        try:
            probe(check, started, *arguments)
        except ServiceError as error:
            check.status, check.is_silent = FAILED, isinstance(error, (TimedOut, Unreachable))
            check.found, check.expected, check.action = error.found, error.expected, error.action
        check.milliseconds = _elapsed(started)
        return check

    def _models(self, check: Check, started: float) -> None:
        check.expected = f"{check.model} among the models"
        listed = self._ask("GET", "/v1/models").json()
        names = [str(dig(entry, "id")) for entry in dig(listed, "data") or []]
        check.conclude(check.model in names, ", ".join(names) or "no model", "declare it, deploy")

    def _plain(self, check: Check, started: float, shape: Shape) -> None:
        check.expected = "an answer with text"
        body = shape.body(check.model, "Say hello.", self._max_tokens)
        reply = self._ask("POST", shape.path(check.model, False), body, shape.headers(self._key))
        text = shape.text(reply.json())
        found = repr(text) if text else reply.text
        check.conclude(bool(text), found, "read the log of the LLM API")

    def _stream(self, check: Check, started: float, shape: Shape) -> None:
        check.expected = f"text in pieces, then {shape.ends_with}"
        body = shape.body(check.model, "Say hello.", self._max_tokens)
        text, is_ended, broke = "", False, ""
        for event in self._shaped_events(shape, body, check.model):
            piece = shape.piece(event)
            if piece:
                text += piece
                check.first_ms = check.first_ms or _elapsed(started)
            is_ended = is_ended or shape.is_end(event)
            broke = broke or error_in(event)
        found = broke or f"{text!r}{'' if is_ended else ', never ended'}"
        action = "read the log of the LLM API; check for a proxy that buffers or cuts streams"
        check.conclude(bool(text) and is_ended and not broke, found, action)

    def _recorded(self, check: Check, started: float, request: dict[str, Any]) -> None:
        shape = shape_of_path(request["path"])
        parameters = ", ".join(parameters_of(request["body"]))
        check.expected = f"an answer, then {shape.ends_with}, to a request with {parameters}"
        action = (
            f"compare what {check.model} can (capabilities, context) with what this CLI asks for: "
            "site.yml reads it from Ollama and leaves out of requests what the model cannot do; of "
            "a custom API, capabilities says it"
        )
        headers = {**shape.headers(self._key), **request["headers"]}
        said, is_ended, broke = "", False, ""
        try:
            for event in self._events(request["path"], request["body"], headers):
                piece = shape.piece(event) or shape.thought(event) or "".join(shape.call(event))
                if piece:
                    said += piece
                    check.first_ms = check.first_ms or _elapsed(started)
                is_ended = is_ended or shape.is_end(event)
                broke = broke or error_in(event)
        except Unexpected as error:
            broke = error.found
        found = broke or f"{said[:60]!r}{'' if is_ended else ', never ended'}"
        check.conclude(bool(said) and is_ended and not broke, found, action)

    def _tool_call(self, check: Check, started: float, shape: Shape) -> None:
        check.expected = f"a streamed call of {_TOOL} with a city"
        body = shape.body(check.model, "What is the weather in Paris?", 128)
        body["tools"] = [shape.tool(_TOOL, _TOOL_ABOUT, _TOOL_SCHEMA)]
        name, arguments, broke = "", "", ""
        for event in self._shaped_events(shape, body, check.model):
            pieces = shape.call(event)
            if any(pieces):
                check.first_ms = check.first_ms or _elapsed(started)
                name, arguments = name + pieces[0], arguments + pieces[1]
            broke = broke or error_in(event)
        is_called = name == _TOOL and bool(dig(_decoded(arguments), "city")) and not broke
        found = broke or (f"{name}({arguments})" if name else "no tool call")
        check.conclude(
            is_called, found, "use a model that calls tools, and the ollama_chat/ prefix"
        )

    def _embedding(self, check: Check, started: float) -> None:
        check.expected = "a vector"
        body = {"model": check.model, "input": "intranet"}
        vector = dig(self._ask("POST", "/v1/embeddings", body).json(), "data", 0, "embedding")
        check.conclude(bool(vector), f"{len(vector or [])} numbers", "read the log of the LLM API")

    def _knock(self, check: Check, started: float, key: str, within: float) -> None:
        """Ask until refused: what answers may remember a key for a while."""
        pause = threading.Event()
        while True:
            headers = bearer(key) if key else {}
            status = self._client.request("GET", "/v1/models", headers=headers).status
            if status in REFUSED or _elapsed(started) > within * 1000:
                break
            pause.wait(ASK_AGAIN_SECONDS)
        is_refused = True if status in REFUSED else False if status < 300 else None
        found = (
            f"HTTP {status} after {_elapsed(started) / 1000:.1f} s" if within else f"HTTP {status}"
        )
        check.conclude(
            is_refused, found, "check the keys' settings of the API and what stands before it"
        )

    def _ask_for_forbidden(self, check: Check, started: float) -> None:
        headers = bearer(self._key)
        status = self._client.request("GET", "/v1/models", headers=headers).status
        if status != 200:
            check.conclude(None, f"the key itself gets HTTP {status}", "give a key that is valid")
            return
        shape = SHAPES["chat"]
        body = shape.body(check.model, "Say hello.", 1)
        path = shape.path(check.model, False)
        status = self._client.request("POST", path, body=body, headers=headers).status
        is_refused = True if status in REFUSED else False if status < 300 else None
        check.conclude(is_refused, f"HTTP {status}", "check the models of the key and of its team")

    def _ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        reply = self._client.request(method, path, body=body, headers=headers or bearer(self._key))
        if not reply.ok:
            raise self._refused(method, path, reply.status, reply.text)
        return reply

    def _shaped_events(self, shape: Shape, body: dict[str, Any], model: str) -> Iterator[Any]:
        if "contents" not in body:  # Gemini's path says it
            body = {**body, "stream": True}
        return self._events(shape.path(model, True), body, shape.headers(self._key))

    def _events(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Iterator[Any]:
        """Decoded data of a server-sent event stream; what is no JSON comes as text."""
        with self._client.stream("POST", path, body, headers=headers) as response:
            if response.status != 200:
                text = response.read(2000).decode("utf-8", "replace")
                raise self._refused("POST", path, response.status, text)
            for line in response:
                if line.startswith(b"data:"):
                    text = line[5:].strip().decode("utf-8", "replace")
                    decoded = _decoded(text)
                    yield text if decoded is None else decoded

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
