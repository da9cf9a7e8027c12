# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The opening request of each CLI, as a shape: which parameters, of which types, how long. Pure.

`shape_of` takes a recorded request and leaves out every text; `request_from` fills a shape with
text of our own. Runs in bundles, too: any Python of 3.8 or later, no imports of the collection.
"""

from __future__ import annotations

import json

# Words of the APIs, which decide how a request is read. Any other text is replaced by its length.
_WORDS = {
    *("type", "role", "effort", "display", "ttl", "keep", "summary", "verbosity", "tool_choice"),
    *("include", "truncation", "service_tier", "anthropic-beta", "anthropic-version", "mode"),
    *("thinkingLevel", "reasoning_effort", "format", "syntax", "scope"),
}
_LONGEST_WORD = 48
# Where each API bounds its answer. Some CLIs leave that to the model, which may talk for minutes.
_BOUNDS = {
    "/responses": ("max_output_tokens",),
    ":streamGenerateContent": ("generationConfig", "maxOutputTokens"),
}
_BOUND_NAMES = ("max_tokens", "max_completion_tokens", *(bound[-1] for bound in _BOUNDS.values()))
# Where the tools stand in a request, and what each API calls the schema of a tool's arguments.
_TOOL_LISTS = ("tools", "functionDeclarations")
_SCHEMAS = ("input_schema", "parameters", "parametersJsonSchema", "schema")
# What CLIs pass on to a model of a tool that a gateway lists.
_TOLD = ("name", "description", "inputSchema")
# Where the texts of a request stand, and what says who asks which model.
_TEXTS = {
    *("model", "messages", "input", "contents", "system", "systemInstruction", "generationConfig"),
    *("metadata", "client_metadata", "stream", "stream_options", *_BOUND_NAMES),
}
BYTES_PER_TOKEN = 4
QUESTION = "Say hello."
_FILLER = "lorem "


def shape_of(request: dict) -> dict:
    """Return a request without its texts: `path`, `headers`, `body`, and `bytes` of JSON in all."""
    size = len(json.dumps(request["body"]))
    body = _shape(request["body"], "")
    return {"path": request["path"], "headers": request["headers"], "bytes": size, "body": body}


def _shape(value: object, key: str) -> object:
    if isinstance(value, dict):
        if key in _SCHEMAS:
            return {"$schema_bytes": len(json.dumps(value))}
        return {name: _shape(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner, key) for inner in value]
    if isinstance(value, str) and not (key in _WORDS and len(value) <= _LONGEST_WORD):
        return {"$text_bytes": len(value.encode())}
    return value


def gemini_name(model: str) -> str:
    """Return what a model is called in Google's paths, where LiteLLM refuses a colon."""
    return model.replace(":", "-")


def request_from(shape: dict, model: str, max_tokens: int, longest: int, tools: int) -> dict:
    """Return `path` and `body` of a request of that shape.

    longest: bytes of a text; the last one of the user is a short question. tools: how many to offer
    at most. max_tokens: of the answer.
    """
    filled = _Filler(longest, tools, max_tokens)
    body = filled.fill(shape["body"], "")
    if "model" in body:
        body["model"] = model
    _ask(body)
    _bound(shape["path"], body, max_tokens)
    path = shape["path"].replace("MODEL", gemini_name(model))
    return {"path": path, "headers": dict(shape["headers"]), "body": body}


class _Filler:
    def __init__(self, longest: int, tools: int, max_tokens: int) -> None:
        self.longest, self.tools, self.max_tokens = longest, tools, max_tokens
        self.names = 0

    def fill(self, value: object, key: str) -> object:
        if isinstance(value, dict):
            if "$text_bytes" in value:
                return self._text(value["$text_bytes"], key)
            if "$schema_bytes" in value:
                return {"type": "object", "properties": {"text": {"type": "string"}}}
            return {name: self.fill(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            some = value[: self.tools] if key in _TOOL_LISTS else value
            return [self.fill(inner, key) for inner in some]
        if key in _BOUND_NAMES:
            return self.max_tokens
        return value

    def _text(self, size: int, key: str) -> str:
        if key == "name":
            self.names += 1
            return f"tool_{self.names}"
        return (_FILLER * (min(size, self.longest) // len(_FILLER) + 1))[: min(size, self.longest)]


def _ask(body: dict) -> None:
    """Put the question where the last words of the user stand."""
    for name in ("messages", "input", "contents"):
        for turn in reversed(body.get(name) or []):
            if turn.get("role") == "user":
                parts = turn.get("content", turn.get("parts"))
                if isinstance(parts, list):
                    parts[-1]["text"] = QUESTION
                else:
                    turn["content"] = QUESTION
                return


def _bound(path: str, body: dict, max_tokens: int) -> None:
    """Bound the answer where the CLI does not."""
    for ending, (*parents, name) in _BOUNDS.items():
        if path.partition("?")[0].endswith(ending):
            for parent in parents:
                body = body.setdefault(parent, {})
            body.setdefault(name, max_tokens)


def parameters_of(body: dict) -> list:
    """Return the names of what a request asks for beside an answer to its texts."""
    named = {**body, **body.get("generationConfig", {})}
    return [name for name in named if name not in _TEXTS]


def opening_tokens(shape: dict) -> int:
    """Return about how many tokens of context the request takes."""
    return shape["bytes"] // BYTES_PER_TOKEN


def tokens_of(tools: list) -> int:
    """Return about how many tokens a gateway's tools take in a request."""
    told = [{field: tool[field] for field in _TOLD if field in tool} for tool in tools]
    return len(json.dumps(told, ensure_ascii=False).encode()) // BYTES_PER_TOKEN
