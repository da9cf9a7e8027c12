# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The platform's containers and their images, as the engine tells of them."""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import (
    LABEL_OWNER,
    LABEL_SERVICE,
    bracketed,
)
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import (
    Engine,
    EngineError,
    name_of,
)

LISTED = "/containers/json?all=1"
LOG_LINES = 60
# Of a log line, whatever looks like a secret stays on the host.
SECRETS = re.compile(r"(?<=://)[^@/\s]+(?=@)|\bsk-[\w-]{8,}")
LOOKUPS = """
for name; do timeout 4 getent hosts "$name" >/dev/null && echo "ok $name"; done
echo end
"""


def of_platform(listed: list[dict], prefix: str) -> dict[str, dict]:
    """Return this platform's containers by service, of those that the engine lists. Pure.

    Another platform on the same engine has another prefix, and the same services.
    """
    return {
        entry["Labels"].get(LABEL_SERVICE, ""): entry
        for entry in listed
        if LABEL_OWNER in (entry.get("Labels") or {}) and name_of(entry).startswith(prefix)
    }


def by_tag(listed: list[dict]) -> dict[str, dict]:
    """Return images by name. Saving and loading loses digests, not ids. Pure."""
    return {tag: image for image in listed for tag in image.get("RepoTags") or []}


def read(engine: Engine, id_: str, peers: dict[str, str]) -> dict:
    """What the engine says of a container, and what the container says of its peers' names.

    peers: service -> the name that must resolve in the container.
    """
    found = engine.json(f"/containers/{id_}/json")
    state, host = found["State"], found["HostConfig"]
    health = (state.get("Health") or {}).get("Status", "none")
    is_running = state["Status"] == "running"
    is_well = is_running and health in ("healthy", "none")
    used, limit = _memory(engine, id_) if is_running else (0, 0)
    return {
        "id": id_,
        "image": found["Config"]["Image"],
        "image_id": found["Image"],
        "state": state["Status"],
        "health": health,
        "exit_code": state["ExitCode"],
        "oom_killed": state["OOMKilled"],
        "error": without_secrets(state.get("Error", "")),
        "restarts": found["RestartCount"],
        "networks": sorted(found["NetworkSettings"]["Networks"]),
        "published": sorted(
            f"{bracketed(binding['HostIp'] or '0.0.0.0')}:{binding['HostPort']}"  # noqa: S104  read
            for bindings in (host["PortBindings"] or {}).values()
            for binding in bindings or []
        ),
        "log_driver": host["LogConfig"]["Type"],
        "log_options": host["LogConfig"]["Config"] or {},
        "memory_used": used,
        "memory_limit": limit,
        "env": {key: value for key, _eq, value in (e.partition("=") for e in found["Config"]["Env"])
                if key.startswith("OLLAMA_")},
        "log": []
        if is_well
        else [without_secrets(line) for line in engine.log(id_, LOG_LINES)],
        "resolves": _resolving(engine, id_, peers) if is_running else None,
    }  # fmt: skip


def _memory(engine: Engine, id_: str) -> tuple[int, int]:
    """Memory that cannot be given back, and the limit."""
    found = engine.json(f"/containers/{id_}/stats?stream=false&one-shot=true")["memory_stats"]
    cache = found.get("stats", {})
    used = found.get("usage", 0) - cache.get("inactive_file", cache.get("total_inactive_file", 0))
    return used, found.get("limit", 0)


def _resolving(engine: Engine, id_: str, peers: dict[str, str]) -> dict[str, bool] | None:
    """Which of its peers' names the container resolves; None where that cannot be asked."""
    if not peers:
        return {}
    command = ["sh", "-c", LOOKUPS, "names", *peers.values()]
    try:
        said = engine.run(id_, command, {"RES_OPTIONS": "timeout:1 attempts:2"}).text
    except EngineError:
        return None
    if "end" not in said or "not found" in said:
        return None
    return {peer: f"ok {name}\n" in said for peer, name in peers.items()}


def without_secrets(line: str) -> str:
    return SECRETS.sub("***", line)
