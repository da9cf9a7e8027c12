"""Stage 5: which server is this about, and under which name does that server know it? Pure."""

from __future__ import annotations

import msgspec

from mcp_gateway import envelope, names
from mcp_gateway.catalog import Catalog
from mcp_gateway.refusal import Refusal

# method: (params member, policy kind)
SUBJECT = {
    "tools/call": ("name", "tools"),
    "prompts/get": ("name", "prompts"),
    "resources/read": ("uri", "resources"),
    "resources/subscribe": ("uri", "resources"),
    "resources/unsubscribe": ("uri", "resources"),
}
TASK_SEPARATOR = ":"
# Names are compared with patterns, and URIs remembered for whoever subscribes.
MAX_NAME = 8192


class Target(msgspec.Struct):
    """Where a request goes and what it says there."""

    server: str
    kind: str
    name: str
    params: envelope.Fields


def resolve(
    method: str, params: envelope.Fields, route: str, catalog: Catalog, servers: set[str]
) -> Target:
    """The target of a request; Refusal when no server can be meant."""
    if method == "completion/complete":
        return _completion(params, route, catalog, servers)
    if method.startswith("tasks/"):
        return _task(method, params, route, servers)
    if method not in SUBJECT:
        if route:
            return Target(route, "", "", params)
        raise Refusal(
            "method",
            404,
            envelope.METHOD_NOT_FOUND,
            f"method {method[:80]} cannot be aggregated; use /servers/NAME/mcp",
        )
    member, kind = SUBJECT[method]
    value = envelope.text(params.get(member))
    if value is None or len(value) > MAX_NAME:
        raise _no_name(f"params.{member}")
    if route:
        return Target(route, kind, value, params)
    found = _find(kind, value, catalog, servers)
    if found is None:
        raise _unknown(kind, value)
    server, original = found
    return Target(server, kind, original, {**params, member: envelope.raw(original)})


def _find(kind: str, value: str, catalog: Catalog, servers: set[str]) -> tuple[str, str] | None:
    if kind == "resources":
        found = catalog.find_uri(value)
        if found is None and len(with_resources := _with_resources(catalog, servers)) == 1:
            # Tools hand out links to resources that no list mentions.
            return with_resources[0], value
        return found if found and found[0] in servers else None
    item = catalog.by_name[kind].get(value)
    if item is not None:
        return item.server, item.name
    parts = names.split(value)
    return parts if parts and parts[0] in servers else None


def _with_resources(catalog: Catalog, servers: set[str]) -> list[str]:
    offering = {
        i.server for k in ("resources", "resourceTemplates") for i in catalog.by_name[k].values()
    }
    return sorted(offering & servers)


def _completion(params: envelope.Fields, route: str, catalog: Catalog, servers: set[str]) -> Target:
    ref = envelope.fields_of(params.get("ref"))
    is_prompt = envelope.text(ref.get("type")) == "ref/prompt"
    member, kind = ("name", "prompts") if is_prompt else ("uri", "resources")
    value = envelope.text(ref.get(member))
    if value is None or len(value) > MAX_NAME:
        raise _no_name(f"params.ref.{member}")
    if route:
        return Target(route, kind, value, params)
    found = _find(kind, value, catalog, servers)
    if found is None:
        raise _unknown(kind, value)
    server, original = found
    ref[member] = envelope.raw(original)
    return Target(server, kind, original, {**params, "ref": envelope.raw(ref)})


def _task(method: str, params: envelope.Fields, route: str, servers: set[str]) -> Target:
    """Tasks are named by the server that runs them: aggregated ids are `SERVER:ID`."""
    if route:
        return Target(route, "", "", params)
    task = envelope.text(params.get("taskId")) or ""
    server, separator, original = task.partition(TASK_SEPARATOR)
    if not separator or server not in servers:
        raise Refusal("unknown", 400, envelope.INVALID_PARAMS, f"unknown task {task[:80]!r}")
    return Target(server, "", "", {**params, "taskId": envelope.raw(original)})


def names_task(method: str, params: envelope.Fields) -> bool:
    """Whether the result may name a task of a server."""
    return method.startswith("tasks/") or "task" in params


def with_task_prefix(server: str, result: msgspec.Raw) -> envelope.Fields:
    """Task ids as the aggregated endpoint knows them."""
    fields = envelope.fields_of(result)
    if "taskId" in fields:
        id_ = envelope.text(fields["taskId"]) or ""
        fields["taskId"] = envelope.raw(f"{server}{TASK_SEPARATOR}{id_}")
    if "task" in fields:
        fields["task"] = envelope.raw(with_task_prefix(server, fields["task"]))
    return fields


def _no_name(member: str) -> Refusal:
    text = f"{member} must be a string of at most {MAX_NAME} characters"
    return Refusal("envelope", 400, envelope.INVALID_PARAMS, text)


def _unknown(kind: str, value: str) -> Refusal:
    noun = kind.removesuffix("s")
    return Refusal("unknown", 400, envelope.INVALID_PARAMS, f"Unknown {noun}: {value[:200]}")
