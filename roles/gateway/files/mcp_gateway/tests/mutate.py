"""Lists as servers that nobody here wrote may give them: well-formed ones, then damaged."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

WELL_FORMED: dict[str, dict[str, Any]] = {
    "tools": {
        "name": "act",
        "title": "Act",
        "description": "Acts.",
        "inputSchema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "a": {"type": "string", "pattern": "^[a-z]+$", "enum": ["x", "y"]},
                "b": {"type": "integer", "minimum": 0, "x-mcp-header": "B"},
                "c": {"type": "array", "items": {"$ref": "#/$defs/d"}},
            },
            "required": ["a"],
            "additionalProperties": False,
            "$defs": {"d": {"type": "object", "properties": {"e": {"type": "number"}}}},
        },
        "outputSchema": {
            "type": "object",
            "properties": {
                "when": {"type": "string", "format": "date-time", "pattern": "^\\d{4}"},
                "tree": {"$ref": "#/$defs/node"},
                "any": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["when"],
            "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
        },
        "annotations": {"title": "T", "readOnlyHint": True, "openWorldHint": False},
        "execution": {"taskSupport": "optional"},
        "icons": [{"src": "data:,", "mimeType": "image/png", "sizes": ["48x48"], "theme": "dark"}],
        "_meta": {"x": 1},
    },
    "prompts": {
        "name": "ask",
        "title": "Ask",
        "description": "Asks.",
        "arguments": [{"name": "a", "description": "A.", "required": True, "title": "A"}],
        "icons": [{"src": "data:,"}],
        "_meta": {},
    },
    "resources": {
        "uri": "memo://host/today",
        "name": "today",
        "title": "Today",
        "description": "A memo.",
        "mimeType": "text/plain",
        "size": 12,
        "annotations": {
            "audience": ["user"],
            "priority": 0.5,
            "lastModified": "2026-01-02T03:04:05Z",
        },
        "icons": [],
        "_meta": {"a": None},
    },
    "resourceTemplates": {
        "uriTemplate": "memo://host/{day}",
        "name": "day",
        "description": "A day.",
        "mimeType": "text/plain",
        "annotations": {"audience": ["assistant"], "priority": 1},
    },
}
DEEP: Any = "x"
for _ in range(300):
    DEEP = [DEEP]
JUNK: list[Any] = [
    None, True, False, 0, -1, 7, 1.5, 10**30, 10**400, float("nan"), float("inf"),
    "", " ", "x", "\ud800", "\udc00x", "\x00", "x" * 300, "2026-13-45", "__proto__", "constructor",
    [], [None], ["x"], ["x", "x"], [[]], [{}], {}, {"": {}}, {"type": "strin"}, {"type": None},
    {"$ref": "#/nowhere"}, {"$ref": "#"}, {"$ref": "urn:x"}, {"$ref": 1}, {"$id": "urn:x"},
    {"id": 1}, {"$anchor": "a b"}, {"$async": True}, {"nullable": True}, {"const": None},
    {"pattern": "("}, {"pattern": "(?i)x"}, {"pattern": "\\-\\_"}, {"pattern": "a++"},
    {"patternProperties": {"(": {}}}, {"items": [True, {"type": "x"}]}, {"enum": []},
    {"required": True}, {"properties": []}, {"properties": {"a": True, "b": 5}},
    {"properties": {"__proto__": {"type": "string"}}}, {"dependencies": {"a": 1}},
    {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, {"format": "no-such"},
    {"allOf": [{"if": {"type": "x"}, "then": 1}]}, {"multipleOf": 0}, {"minLength": -1},
    {"discriminator": {"propertyName": "a"}, "oneOf": [{}]}, {"unevaluatedProperties": 3},
    {"$schema": "http://json-schema.org/draft-04/schema#"}, {"$schema": "x"}, {"$schema": 4},
    {"$dynamicRef": "#a"}, {"contains": {}, "minContains": 3, "maxContains": "x"}, DEEP,
    "memo:[x", "http://", "http://a b/", "//x", "http://1.2.3.999/", "memo://ü/", "file:///x y",
    "http://[::1/", "memo://h:99999/", "http://xn--a/", "C:\\x", "urn:x:y", "memo://a%zz/",
]  # fmt: skip
KEYWORDS = [
    "x-mcp-header",
    "type",
    "properties",
    "required",
    "items",
    "$ref",
    "enum",
    "pattern",
    "_meta",
    "title",
]


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every (container, key) in the value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        found.append((value, key))
        if isinstance(inner, dict | list) and len(found) < 300:
            _places(inner, found)
    return found


def _damage(item: Any, choose: random.Random) -> Any:
    places = _places(item, []) if isinstance(item, dict | list) else []
    if not places or choose.random() < 0.03:
        return copy.deepcopy(choose.choice(JUNK))
    container, key = choose.choice(places)
    action = choose.random()
    if action < 0.2 and isinstance(container, dict):
        del container[key]
    elif action < 0.35 and isinstance(container, dict):
        container[choose.choice(KEYWORDS)] = copy.deepcopy(choose.choice(JUNK))
    else:
        container[key] = copy.deepcopy(choose.choice(JUNK))
    return item


def item(kind: str, choose: random.Random, name: str) -> bytes:
    """One item of a list as bytes: well-formed, odd, broken, or no JSON that is worth the name."""
    value: Any = copy.deepcopy(WELL_FORMED[kind])
    value["uri" if kind == "resources" else "name"] = (
        f"memo://host/{name}" if kind == "resources" else name
    )
    if kind == "resourceTemplates":
        value["uriTemplate"] = f"memo://host/{name}/{{day}}"
    for _ in range(choose.choice([0, 1, 1, 1, 2, 3])):
        value = _damage(value, choose)
    data = json.dumps(value, ensure_ascii=choose.random() < 0.9).encode("utf-8", "surrogatepass")
    if choose.random() < 0.05:
        data = data.replace(b"A", b"\xff", 1)
    return data


def answer(kind: str, choose: random.Random, count: int) -> bytes:
    """The result of a list request."""
    items = (item(kind, choose, f"n{choose.randrange(count * 2)}") for _ in range(count))
    return b'{"resultType":"complete","%s":[%s]}' % (kind.encode(), b",".join(items))
