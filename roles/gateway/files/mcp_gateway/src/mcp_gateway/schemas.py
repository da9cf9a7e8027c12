"""JSON Schemas of tools: what is wrong in one of them must not take the others' tools away.

Clients hand schemas on to validators and models, and one that they refuse costs the whole list
(the TypeScript SDK compiles every output schema when it lists tools) or the whole request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

# A header's name, as RFC 9110 writes it.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ANCHOR = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")
TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_type(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    known = all(isinstance(n, str) and n in TYPES for n in names)
    return bool(names) and known and len(set(names)) == len(names)


def _is_names(value: object) -> bool:
    if not isinstance(value, list) or not all(isinstance(n, str) for n in value):
        return False
    return len(set(value)) == len(value)


def _is_schemas(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_schema(v) for v in value)


def _is_schema_map(value: object) -> bool:
    return isinstance(value, dict) and all(_is_schema(v) for v in value.values())


def _is_items(value: object) -> bool:
    return _is_schema(value) or _is_schemas(value)


def _is_dependencies(value: object) -> bool:
    return isinstance(value, dict) and all(_is_schema(v) or _is_names(v) for v in value.values())


def _is_name_map(value: object) -> bool:
    return isinstance(value, dict) and all(_is_names(v) for v in value.values())


def _is_flag_map(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(v, bool) for v in value.values())


def _is_anchor(value: object) -> bool:
    return isinstance(value, str) and bool(_ANCHOR.fullmatch(value))


def _is_enum(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _is_step(value: object) -> bool:
    return _is_number(value) and value > 0  # type: ignore[operator]


KEYWORDS: dict[str, Callable[[object], bool]] = {
    "type": _is_type,
    "required": _is_names,
    "enum": _is_enum,
    "examples": _is_list,
    "items": _is_items,
    "pattern": _is_text,
    "patternProperties": _is_schema_map,
    "dependencies": _is_dependencies,
    "dependentRequired": _is_name_map,
    "multipleOf": _is_step,
    "$vocabulary": _is_flag_map,
    **dict.fromkeys(("$anchor", "$dynamicAnchor"), _is_anchor),
    **dict.fromkeys(("$id", "$dynamicRef"), _is_text),
    **dict.fromkeys(("$ref", "$schema", "$comment", "title", "description", "format"), _is_text),
    **dict.fromkeys(("contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("properties", "$defs", "definitions", "dependentSchemas"), _is_schema_map),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _is_schemas),
    **dict.fromkeys(("not", "if", "then", "else", "contains", "propertyNames"), _is_schema),
    **dict.fromkeys(("additionalProperties", "additionalItems", "contentSchema"), _is_schema),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties"), _is_schema),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    **dict.fromkeys(("minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("minContains", "maxContains"), _is_count),
    **dict.fromkeys(("minimum", "maximum"), _is_number),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("deprecated", "readOnly", "writeOnly", "uniqueItems"), _is_flag),
}
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


def repair(schema: dict[str, object], where: str) -> Iterator[str]:
    """Change a schema in place to one that validators take; yields what was wrong."""
    for keyword, is_valid in KEYWORDS.items():
        if keyword not in schema or is_valid(schema[keyword]):
            continue
        fixed = _FIXES.get(keyword, _drop)(schema[keyword])
        if fixed is None or not is_valid(fixed):
            del schema[keyword]
        else:
            schema[keyword] = fixed
        yield f"{where}.{keyword} is not valid JSON Schema"
    for name, child in _children(schema):
        yield from repair(child, f"{where}.{name}")


def _drop(_: object) -> None:
    """A keyword that says nothing useful is left out."""


def _fix_map(value: object) -> object:
    """An empty list is how PHP writes an empty object; junk inside becomes `anything`."""
    if value == []:
        return {}
    if not isinstance(value, dict):
        return None
    return {k: v if _is_schema(v) else {} for k, v in value.items()}


def _fix_names(value: object) -> object:
    if not isinstance(value, list):
        return None
    return list(dict.fromkeys(n for n in value if isinstance(n, str)))


def _fix_list(value: object) -> object:
    return [v for v in value if _is_schema(v)] if isinstance(value, list) else None


_FIXES: dict[str, Callable[[object], object]] = {
    "properties": _fix_map,
    "$defs": _fix_map,
    "definitions": _fix_map,
    "required": _fix_names,
    "anyOf": _fix_list,
    "oneOf": _fix_list,
    "allOf": _fix_list,
}


def _children(schema: dict[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """The schemas inside a schema, one level down."""
    for keyword, value in schema.items():
        if keyword not in KEYWORDS:
            continue
        if keyword in _MAPS or keyword == "dependencies":
            inner = value.items() if isinstance(value, dict) else ()
        elif isinstance(value, list) and keyword != "enum" and keyword != "examples":
            inner = [(str(i), v) for i, v in enumerate(value)]
        else:
            inner = [("", value)]
        for name, child in inner:
            if isinstance(child, dict):
                yield f"{keyword}.{name}".rstrip("."), child


def repair_root(schema: dict[str, object]) -> Iterator[str]:
    """What clients ask of the root of a tool's schema beyond JSON Schema."""
    type_ = schema.get("type")
    if type_ != "object" and (type_ is None or (isinstance(type_, list) and "object" in type_)):
        schema["type"] = "object"
        yield 'its type is not "object"'
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, value in properties.items():
            if isinstance(value, bool):  # legal, but the TypeScript SDK takes objects only
                properties[name] = {} if value else {"not": {}}
                yield f"property {name[:80]} is a boolean schema"


def drop_wrong_headers(schema: dict[str, object]) -> Iterator[str]:
    """Clients of the modern era must drop a tool that asks for a header in a wrong way or place."""
    reachable = {id(part) for part in _properties(schema)}
    taken: set[str] = set()
    for part in walk(schema):
        token = part.get("x-mcp-header", "")
        is_good = (
            isinstance(token, str)
            and id(part) in reachable
            and part.get("type") in ("integer", "string", "boolean")
            and TOKEN.fullmatch(token)
            and token.lower() not in taken
        )
        if is_good:
            taken.add(str(token).lower())
        elif "x-mcp-header" in part:
            del part["x-mcp-header"]
            yield f"x-mcp-header {str(token)[:80]} is not allowed there"


def _properties(schema: dict[str, object]) -> Iterator[dict[str, object]]:
    for value in map_of(schema, "properties").values():
        if isinstance(value, dict):
            yield value
            yield from _properties(value)


def walk(schema: dict[str, object]) -> Iterator[dict[str, object]]:
    yield schema
    for _, child in _children(schema):
        yield from walk(child)


def map_of(part: dict[str, object], keyword: str) -> dict[str, object]:
    value = part.get(keyword)
    return value if isinstance(value, dict) else {}
