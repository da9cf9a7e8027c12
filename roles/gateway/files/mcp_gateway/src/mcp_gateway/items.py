"""The items of a server's lists, checked: what a client would refuse is repaired or left out.

The official SDKs decode a list as a whole. One item that they refuse takes every tool of every
server behind the gateway away from everybody, so nothing unchecked gets into a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from mcp_gateway import envelope, lenient, portable, schemas
from mcp_gateway.catalog import Item, fingerprint
from mcp_gateway.faults import LEFT_OUT, REPAIRED, Fault
from mcp_gateway.settings import Limits
from mcp_gateway.uris import is_uri

# Half of what the strictest decoder in use (pydantic's) takes, since the item itself lies deeper.
MAX_DEPTH = 100
MAX_SHOWN = 100
SAFE_INTEGER = 2**53 - 1
NAME_MEMBER = {"resources": "uri", "resourceTemplates": "uriTemplate"}
_LAST_MODIFIED = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?"
    r"(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)\Z"
)
Fields = dict[str, object]


class _Unusable(Exception):
    """No repair makes this item acceptable."""


def read_items(
    server: str, kind: str, raw_items: list[msgspec.Raw], limits: Limits
) -> tuple[list[Item], list[Fault]]:
    """The items of one list that clients accept, and what was wrong with the others."""
    items: dict[str, Item] = {}
    faults: list[Fault] = []
    room = limits.list_bytes
    for index, raw in enumerate(raw_items):
        label = f"#{index + 1}"
        try:
            value, problems = _decode(bytes(raw), limits.item_bytes)
            name = _name_of(value, NAME_MEMBER.get(kind, "name"))
            label = name[:MAX_SHOWN]
            problems += _CHECKS[kind](value)
            body = envelope.raw(value) if problems else msgspec.Raw(bytes(raw))
            if name in items:
                if items[name].body == body:
                    continue
                raise _Unusable("the name is already taken by an earlier one")
            room -= len(bytes(body))
            if len(items) >= limits.list_items or room < 0:
                faults.append(_too_many(kind, len(raw_items) - index, limits, room))
                break
        except _Unusable as error:
            faults.append(Fault(kind, label, str(error), LEFT_OUT))
            continue
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            faults.append(Fault(kind, label, problems[0] + more, REPAIRED))
        digest = fingerprint(envelope.fields_of(body)) if kind == "tools" else ""
        items[name] = Item(server, kind, name, name, body, digest)
    return list(items.values()), faults


def _too_many(kind: str, count: int, limits: Limits, room: int) -> Fault:
    option, bound = ("list_items", limits.list_items)
    if room < 0:
        option, bound = ("list_bytes", limits.list_bytes)
    return Fault(kind, "", f"{count} more than limits.{option} ({bound}) takes", LEFT_OUT)


def _decode(data: bytes, limit: int) -> tuple[Fields, list[str]]:
    """An item and what had to be repaired to read it; _Unusable when that is not possible."""
    if len(data) > limit:
        raise _Unusable(f"{len(data)} bytes long, more than limits.item_bytes ({limit})")
    problems = []
    try:
        value = envelope.decode_any(data)
        if not _is_finite(value, MAX_DEPTH):
            value = _decode_leniently(data)
            problems.append("it has a number that is too large")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problems.append("it is not valid UTF-8 or JSON")
        value = _decode_leniently(data)
    if not isinstance(value, dict):
        raise _Unusable("it is not an object")
    return value, problems


def _decode_leniently(data: bytes) -> object:
    try:
        value = lenient.decode(data)
    except ValueError:
        raise _Unusable("it is not valid JSON") from None
    _is_finite(value, MAX_DEPTH)
    return value


def _name_of(item: Fields, member: str) -> str:
    name = item.get(member)
    if isinstance(name, str) and name.strip():
        return name
    found = "empty" if isinstance(name, str) else "not text" if member in item else "missing"
    raise _Unusable(f"its {member} is {found}")


def _is_finite(value: object, levels: int) -> bool:
    """Whether every number in it is one that clients can hold; _Unusable when it is too deep."""
    if isinstance(value, int):
        return abs(value) <= lenient.MAX_NUMBER
    if not isinstance(value, dict | list):
        return True
    if levels == 0:
        raise _Unusable(f"it is nested more than {MAX_DEPTH} levels deep")
    inner = value.values() if isinstance(value, dict) else value
    return sum(not _is_finite(v, levels - 1) for v in inner) == 0  # every one is looked at


# What each member must be; one of another shape is dropped, since all of these are optional.
def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= SAFE_INTEGER


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_audience(value: object) -> bool:
    return isinstance(value, list) and all(v in ("user", "assistant") for v in value)


def _is_moment(value: object) -> bool:
    return isinstance(value, str) and bool(_LAST_MODIFIED.match(value))


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _is_icons(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(icon, dict) and "src" in icon and _fits(icon, ICON) for icon in value
    )


def _fits(value: Fields, shape: dict[str, Callable[[object], bool]]) -> bool:
    return all(is_valid(value[name]) for name, is_valid in shape.items() if name in value)


Shape = dict[str, Callable[[object], bool]]
ICON: Shape = {
    "src": _is_text,
    "mimeType": _is_text,
    "sizes": _is_texts,
    "theme": lambda value: value in ("light", "dark"),
}
COMMON: Shape = {
    "title": _is_text,
    "description": _is_text,
    "icons": _is_icons,
    "_meta": _is_object,
}
HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
TOOL_ANNOTATIONS: Shape = {"title": _is_text, **dict.fromkeys(HINTS, _is_flag)}
EXECUTION: Shape = {"taskSupport": lambda value: value in ("forbidden", "optional", "required")}
ANNOTATIONS: Shape = {
    "audience": _is_audience,
    "priority": _is_share,
    "lastModified": _is_moment,
}
ARGUMENT: Shape = {"title": _is_text, "description": _is_text, "required": _is_flag}


def _prune(value: Fields, shape: Shape, where: str = "") -> Iterator[str]:
    """Drop members of a wrong shape; yields which."""
    for name, is_valid in shape.items():
        if name in value and not is_valid(value[name]):
            del value[name]
            yield f"its {where}{name} has a wrong type or value"


def _prune_in(value: Fields, member: str, shape: Shape) -> Iterator[str]:
    if member in value and not isinstance(value[member], dict):
        del value[member]
        yield f"its {member} is not an object"
    elif isinstance(value.get(member), dict):
        yield from _prune(value[member], shape, f"{member}.")  # type: ignore[arg-type]


def _check_tool(tool: Fields) -> list[str]:
    problems = [*_prune(tool, COMMON)]
    problems += _prune_in(tool, "annotations", TOOL_ANNOTATIONS)
    problems += _prune_in(tool, "execution", EXECUTION)
    problems += _check_input(tool)
    if "outputSchema" in tool:
        problems += _check_output(tool)
    return problems


def _check_input(tool: Fields) -> Iterator[str]:
    schema = tool.get("inputSchema")
    if schema is None or schema is True:
        yield f"its inputSchema is {'missing' if 'inputSchema' not in tool else _shown(schema)}"
        tool["inputSchema"] = {"type": "object"}
        return
    if not isinstance(schema, dict):
        raise _Unusable(f"its inputSchema is {_shown(schema)}, not an object")
    yield from schemas.repair(schema, "inputSchema")
    yield from (f"inputSchema: {p}" for p in schemas.repair_root(schema))
    yield from (f"inputSchema: {p}" for p in schemas.drop_wrong_headers(schema))
    if schema["type"] != "object":
        raise _Unusable(f"its inputSchema is of type {_shown(schema['type'])}, not object")


def _check_output(tool: Fields) -> Iterator[str]:
    """An output schema only promises something: one that could break a client is dropped."""
    schema = tool["outputSchema"]
    if not isinstance(schema, dict):
        del tool["outputSchema"]
        yield f"its outputSchema is {_shown(schema)}, not an object"
        return
    yield from schemas.repair(schema, "outputSchema")
    yield from (f"outputSchema: {p}" for p in schemas.repair_root(schema))
    yield from (f"outputSchema: {p}" for p in portable.repair(schema))
    reason = portable.depends(schema)
    if schema["type"] != "object":
        reason = f"its outputSchema is of type {_shown(schema['type'])}, not object"
    if reason:
        del tool["outputSchema"]
        yield reason


def _check_prompt(prompt: Fields) -> list[str]:
    problems = [*_prune(prompt, COMMON)]
    arguments = prompt.get("arguments")
    if "arguments" in prompt and arguments in (None, {}):
        del prompt["arguments"]
        problems.append("its arguments are not a list")
    elif "arguments" in prompt:
        if not isinstance(arguments, list):
            raise _Unusable("its arguments are not a list")
        for argument in arguments:
            if not isinstance(argument, dict) or not isinstance(argument.get("name"), str):
                raise _Unusable("one of its arguments has no name")
            problems += _prune(argument, ARGUMENT, f"argument {argument['name'][:80]}: ")
    return problems


def _check_resource(resource: Fields) -> list[str]:
    if not is_uri(str(resource["uri"])):
        raise _Unusable("its uri is not a URI")
    problems = [*_prune(resource, {**COMMON, "mimeType": _is_text, "size": _is_size})]
    return problems + _check_located(resource, "uri")


def _check_template(template: Fields) -> list[str]:
    problems = [*_prune(template, {**COMMON, "mimeType": _is_text})]
    return problems + _check_located(template, "uriTemplate")


def _check_located(value: Fields, member: str) -> list[str]:
    problems = [*_prune_in(value, "annotations", ANNOTATIONS)]
    if not isinstance(value.get("name"), str):
        problems.append("its name is missing or not text")
        value["name"] = value[member]
    return problems


_CHECKS: dict[str, Callable[[Fields], list[str]]] = {
    "tools": _check_tool,
    "prompts": _check_prompt,
    "resources": _check_resource,
    "resourceTemplates": _check_template,
}


def _shown(value: object) -> str:
    return envelope.encode(value)[:60].decode("utf-8", "replace")
