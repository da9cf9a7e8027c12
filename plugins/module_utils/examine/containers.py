# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The platform's containers and their images, as the engine tells of them."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import quote

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
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import PASSED, Finding

LISTED = "/containers/json?all=1"
LOG_LINES = 60
# How far back the engine is asked what ended a container that is up again.
ENDED_SECONDS = 600
# Of a log line, whatever looks like a secret stays on the host.
SECRETS = re.compile(r"(?<=://)[^@/\s]+(?=@)|\bsk-[\w-]{8,}")
LOOKUPS = """
for name; do timeout 4 getent hosts "$name" >/dev/null && echo "ok $name"; done
echo end
"""
KILLED = ", killed for memory"
DEPLOY = "run the playbook: ansible-playbook site.yml"

# State of a container -> what it is, what to do, the fix. States that are well are left out.
STATES = {
    "exited": ("is stopped", "docker start {name}", "start"),
    "created": ("was created and never ran", "docker start {name}", "start"),
    "paused": ("is paused", "docker unpause {name}", "start"),
    "dead": ("is dead", DEPLOY, "deploy"),
    # Made anew rather than deployed: between two attempts it runs, and seems to need nothing.
    "restarting": (
        "starts again and again",
        "correct what its log says: docker logs {name}",
        "replace",
    ),
}

# First match from a log's end wins: what it says, what that means, what to do.
CAUSES = (
    (r"no space left on device", "its disk is full", "make room on the disk"),
    (r"address already in use|port is already allocated", "its port is taken", "free the port"),
    (r"migration '(.+?)' began at .* has not ended", "migration {0} is half done",
     "read the message in its log: litellm-migrate --mark-applied or --forget"),
    (r"migration '(.+?)' failed", "migration {0} failed", "correct the cause, then start it"),
    (r"password authentication failed", "the database refuses its password",
     "give it the database's password"),
    (r"too many clients|remaining connection slots", "the database is full of connections",
     "close connections, then start it"),
    (r"could not translate host name|name or service not known|failure in name resolution",
     "a name does not resolve", "connect it to the network"),
    (r"connection refused|connection timed out|can't reach database", "something it needs is away",
     "start what it needs"),
    (r"out of memory|cannot allocate memory|memoryerror", "memory ran out", "raise its limit"),
)  # fmt: skip


def of_platform(listed: list[dict], prefix: str) -> dict[str, dict]:
    """Return this platform's containers by service, of those that the engine lists. Pure.

    Another platform on the same engine has another prefix, and the same services. Where there are
    several of one service, as after a `docker commit`, a running one stands for it.
    """
    running_last = sorted(listed, key=lambda entry: entry.get("State") == "running")
    return {
        entry["Labels"].get(LABEL_SERVICE, ""): entry
        for entry in running_last
        if is_of_platform(entry, prefix)
    }


def is_of_platform(entry: dict, prefix: str) -> bool:
    """Tell whether a container that the engine lists is this platform's. Pure."""
    return LABEL_OWNER in (entry.get("Labels") or {}) and name_of(entry).startswith(prefix)


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
        "oom_killed": state["OOMKilled"]
        or (not is_well and found["RestartCount"] > 0 and _was_killed_for_memory(engine, id_)),
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


def _was_killed_for_memory(engine: Engine, id_: str) -> bool:
    """Whether it lately was. The engine forgets OOMKilled when it starts the container again."""
    now = int(time.time())
    filters = quote(json.dumps({"container": [id_], "event": ["oom"]}))
    try:
        said = engine.ask(
            "GET", f"/events?since={now - ENDED_SECONDS}&until={now}&filters={filters}"
        )
    except EngineError:
        return False
    return bool(said.strip())


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


def judge_state(check: str, name: str, service: str, found: dict | None) -> Finding:
    """Return whether a container runs, and is healthy where it says so. Pure.

    found: as read, None where there is no container.
    """
    if found is None:
        return Finding(check, f"{name} is not there", "running", DEPLOY, "deploy", service)
    if found["state"] in STATES:
        return _stopped(check, name, service, found)
    if found["health"] == "unhealthy":
        what, fix = "is unhealthy", "restart"
    elif found["health"] == "starting" and found["restarts"]:
        what, fix = f"started {found['restarts'] + 1} times and is not healthy", "replace"
    else:
        return Finding(check, f"{name} runs", "running", service=service, status=PASSED)
    why, action = (KILLED, _more_memory(service)) if found["oom_killed"] else cause(found["log"])
    return Finding(
        check, f"{name} {what}{why}", "healthy", action or f"docker logs {name}", fix, service
    )


def _stopped(check: str, name: str, service: str, found: dict) -> Finding:
    what, do, fix = STATES[found["state"]]
    why, remedy = "", ""
    if found["oom_killed"]:
        why, remedy = KILLED, _more_memory(service)
    elif found["exit_code"] or found["error"] or found["state"] == "restarting":
        # Who was stopped has nothing to explain, and its log ends with everyday lines.
        what += f" (exit status {found['exit_code']})"
        why, remedy = cause([*found["log"], found["error"]])
    return Finding(
        check, f"{name} {what}{why}", "running", remedy or do.format(name=name), fix, service
    )


def _more_memory(service: str) -> str:
    return f"raise {service}'s memory limit, then start it"


def cause(log: list[str]) -> tuple[str, str]:
    """What the end of a log means and what to do; the last line itself where nobody knows."""
    for line in reversed(log):
        for pattern, meaning, do in CAUSES:
            match = re.search(pattern, line, re.IGNORECASE)
            if match:
                return f": {meaning.format(*match.groups())}", do
    last = next((line.strip() for line in reversed(log) if line.strip()), "")
    return (f"; its log ends: {last[:160]}" if last else ""), ""
