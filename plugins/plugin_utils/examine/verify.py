# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What verify asks, as data, and what it found: a row a check, a verdict over all. Pure."""

from __future__ import annotations

import fnmatch

from ansible_collections.intranet.mcp.plugins.module_utils.clients.client_requests import (
    request_from,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    UNKNOWN,
    WARNING,
    Finding,
    verdict,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp.servers import offered
from ansible_collections.intranet.mcp.plugins.plugin_utils.people.models import TOOLS, can
from ansible_collections.intranet.mcp.plugins.plugin_utils.people.plan import MEMBER_ROLE

ORDER = (PASSED, NOT_APPLICABLE, WARNING, UNKNOWN, FAILED)


def report(
    hosts: dict[str, dict],
    facts: dict,
    advisory: list[str] | None = None,
    not_applicable: dict[str, str] | None = None,
) -> dict:
    """Return one report of everything verify measured.

    hosts: host -> result of the module `health`; one that did not answer has no `checks`.
    facts: at (ISO 8601), seconds, platform (its name). advisory: globs of checks that are not
    required. not_applicable: globs of checks that need not run here, and why; one that ran and
    failed has failed all the same.
    """
    checks = []
    for host, result in hosts.items():
        if "checks" in result and not result.get("error"):
            checks += result["checks"]
        else:
            checks.append(_silent(host, result))
    checks = [_settled(check, advisory or [], not_applicable or {}) for check in checks]
    counts = {status: sum(check["status"] == status for check in checks) for status in ORDER}
    return {**facts, **counts, "checks": checks}


def _silent(host: str, result: dict) -> dict:
    error = result.get("error") or {}
    found = error.get("found") or result.get("msg") or "no answer"
    action = error.get("action") or "check that Ansible reaches the host, then run verify again"
    silent = Finding(f"host {host}", found, "a look at it", action, status=UNKNOWN)
    return {"group": "Hosts", **silent.as_row()}


def _settled(check: dict, advisory: list[str], not_applicable: dict[str, str]) -> dict:
    if check["status"] == UNKNOWN:
        for glob, because in not_applicable.items():
            if fnmatch.fnmatchcase(check["name"], glob):
                found = f"{because} (declared; found: {check['found']})"
                return {**check, "status": NOT_APPLICABLE, "found": found, "action": ""}
    is_advice = any(fnmatch.fnmatchcase(check["name"], glob) for glob in advisory)
    if is_advice and check["status"] in (FAILED, UNKNOWN):
        return {**check, "status": WARNING}
    return check


# How long texts are in a request that is sent as a CLI sends it (bytes), and its answer (tokens). A
# prompt of full length would keep a CPU busy for minutes; its room is computed instead.
_SHORT_TEXT, _SHORT_ANSWER, _FEW_TOOLS = 64, 16, 2


def model_checks(
    model: dict, chat_checks: list[str], shapes: dict | None = None, facts: list | None = None
) -> dict:
    """A declared model as llm_health takes it.

    shapes: of each CLI's opening request, as recorded. facts: what models can do, as from
    `people.models.declared_models`; tool calls are not asked of one that has none.
    """
    is_embedding = model.get("embedding") or model.get("mode") == "embedding"
    name = model.get("model_name") or model["name"]
    known = next((m for m in facts or [] if m["name"] == name), {"capabilities": None})
    checks = [c for c in chat_checks if can(known, TOOLS) or not c.endswith("tool_call")]
    return {
        "name": name,
        "gemini_name": name.replace(":", "-"),  # as the litellm role names it
        "checks": ["models", "embedding"] if is_embedding else checks,
        "requests": {}
        if is_embedding
        else {
            client: request_from(shape, name, _SHORT_ANSWER, _SHORT_TEXT, _FEW_TOOLS)
            for client, shape in (shapes or {}).items()
        },
    }


def room_probe(models: list[dict], shapes: dict, url: str) -> list[dict]:
    """A probe of what CLIs leave of each chat model's context; none without such a model."""
    options = {
        "url": url,
        "key": "verify",
        "models": [
            {"name": model["name"], "context": model["context"]}
            for model in models
            if model["mode"] == "chat"
        ],
        "openings": {client: shape["bytes"] for client, shape in shapes.items()},
    }
    probe = {"name": "room", "kind": "room", "group": "Models", "options": options}
    return [probe] if options["models"] else []


def first_word_probe(
    models: list[dict], checks: list[dict], shapes: dict, urls: dict, seconds: float, timeout: int
) -> list[dict]:
    """A probe of how fast each chat model reads that answered; none without such a model.

    checks: what the probes of models found. urls: llm, mcp. seconds: within which the first word
    should come.
    """
    options = {
        "url": f"{urls['mcp']}/mcp",
        "key": "verify",
        "llm_url": urls["llm"],
        "api_key": "verify",
        "models": [
            model["name"]
            for model in models
            if model["mode"] == "chat" and _has_answered(model["name"], checks)
        ],
        "openings": {client: shape["bytes"] for client, shape in shapes.items()},
        "seconds": seconds,
        "timeout": timeout,
    }
    probe = {"name": "first word", "kind": "first_word", "group": "Models", "options": options}
    return [probe] if options["models"] else []


def _has_answered(model: str, checks: list[dict]) -> bool:
    """Whether a probe got words of a model, not just its name."""
    passed = [check["name"] for check in checks if check["status"] == PASSED]
    begin = f"llm {model} "
    return any(name.startswith(begin) and name != f"{begin}models" for name in passed)


def certificate_probe(url: str, days: int) -> dict:
    """A probe of how long the certificate behind an address is valid."""
    options = {"url": url, "days": days}
    name = f"certificate {url.removeprefix('https://').partition('/')[0]}"
    return {"name": name, "kind": "certificate", "group": "Services", "options": options}


def server_probes(servers: dict, url: str, timeout: int) -> list[dict]:
    """Probes of each MCP server alone, behind the gateway: its exact tools, and one real call."""
    probes = []
    for name, server in sorted(servers.items()):
        expect = server.get("expect", {})
        options = {
            "url": f"{url}/servers/{name}/mcp",
            "key": "verify",
            "timeout": timeout,
            **({} if "tools" in expect else {"tools_min": 1}),
            **({"call": expect["call"]} if "call" in expect else {}),
            **({"tools": offered(server, expect["tools"])} if "tools" in expect else {}),
        }
        probes.append({"name": f"mcp {name}", "kind": "mcp", "group": "Tools", "options": options})
    return probes


def door(servers: dict, url: str) -> str:
    """Where keys are tried: at a server that all callers share, where there is one.

    A server that has a process for each caller would keep one for every key that was made here.
    """
    first = next(iter(shared_first(servers)), None)
    is_shared = first is not None and _is_shared(servers[first])
    return f"{url}/servers/{first}/mcp" if is_shared else f"{url}/mcp"


def shared_first(servers: dict) -> list[str]:
    """Names of the servers, those first that all callers share."""
    return sorted(servers, key=lambda name: (not _is_shared(servers[name]), name))


def _is_shared(server: dict) -> bool:
    return server.get("mode") != "per_session"


def aggregated_tools(servers: dict) -> dict:
    """What the gateway must offer of all servers: the exact set where it is known of each."""
    if all("tools" in server.get("expect", {}) for server in servers.values()):
        names = [
            f"{name}__{tool}"
            for name, server in servers.items()
            for tool in offered(server, server["expect"]["tools"])
        ]
        return {"tools": sorted(names)}
    return {"tools_include": [f"{name}__*" for name in servers]}


def team_probes(
    teams: list[dict], aliases: list[str], models: list[str], servers: dict, urls: dict
) -> list[dict]:
    """Probes that a team is kept to its own: one of a model, one of an MCP server.

    aliases: members whose key is known here. urls: llm, mcp. The key of a probe is `member-ALIAS`.
    """
    llm = mcp = None
    for team in teams:
        members = [
            member["alias"]
            for member in team.get("members", [])
            if member.get("state", "present") == "present" and member["alias"] in aliases
        ]
        own = [m["alias"] for m in team.get("members", []) if "models" in m]
        plain = [alias for alias in members if alias not in own]
        forbidden = [name for name in models if name not in team.get("models", [])]
        if team.get("models") and plain and forbidden and not llm:
            llm = _model_probe(team["name"], plain[0], forbidden[0], urls["llm"])
        closed = [name for name in servers if name not in team.get("mcp", servers)]
        if closed and members and not mcp:
            mcp = _tool_probe(team["name"], members[0], closed[0], servers, urls["mcp"])
    because = "no team with a member's key has restrictions of that kind"
    return [
        llm or _without_meaning("llm key of another team", because),
        mcp or _without_meaning("mcp key of another team", because),
    ]


def _model_probe(team: str, alias: str, model: str, url: str) -> dict:
    options = {"url": url, "api_key": f"member-{alias}", "denied_models": [model], "denies": []}
    return {"name": f"llm team {team}", "kind": "llm", "group": "Keys", "options": options}


def _tool_probe(team: str, alias: str, server: str, servers: dict, url: str) -> dict:
    expect = servers[server].get("expect", {})
    tool = expect.get("call", {}).get("tool") or next(iter(expect.get("tools", [])), "any")
    options = {
        "url": f"{url}/mcp",
        "key": f"member-{alias}",
        "eras": ["legacy"],  # its session ends, and with it what a server started for it
        "tools_exclude": [f"{server}__*"],
        "denied_calls": [f"{server}__{tool}"],
    }
    return {"name": f"mcp team {team}", "kind": "mcp", "group": "Keys", "options": options}


def people_rows(told: dict, site_keys: list[dict]) -> list[dict]:
    """Rows about what LiteLLM has: people and keys may do no more than the inventory says.

    told: the result of litellm_info with users and keys, or its failure. site_keys: `litellm_keys`.
    """
    if "users" not in told or "keys" not in told:
        found, action = told.get("msg", "no answer"), "read LiteLLM's log, then run verify again"
        return [_people_row("people and keys", None, found, action)]
    people = {user["user_id"]: user["user_role"] for user in told["users"] if user["is_managed"]}
    chosen = {key["key_alias"] for key in site_keys if key.get("allowed_routes") == []}
    own = [key for key in told["keys"] if key["is_managed"]]
    wider = [key for key in own if not key["allowed_routes"] and not _is_one_of(key, chosen)]
    made = [key for key in told["keys"] if key["created_by"] in people]
    found = {
        "people's role makes no keys": [
            f"{name} is {role}" for name, role in sorted(people.items()) if role != MEMBER_ROLE
        ],
        "keys are limited to routes": [_name_of(key) for key in wider],
        "no key was made by a member": [f"{_name_of(k)} by {k['created_by']}" for k in made],
    }
    return [
        _people_row(name, not bad, ", ".join(bad) or "none is otherwise", "run site.yml")
        for name, bad in found.items()
    ]


def _people_row(name: str, is_good: bool | None, found: str, action: str) -> dict:
    expected = "what site.yml makes of the inventory"
    judged = Finding(name, found, expected, action, status=verdict(is_good))
    return {"group": "Intruders", **judged.as_row()}


def _name_of(key: dict) -> str:
    """A key's alias; where it has none, what LiteLLM calls it in short."""
    return key["key_alias"] or key["key_hash"][:12]


def _is_one_of(key: dict, aliases: set[str]) -> bool:
    """Whether a key has one of these aliases, or is an earlier value of one that has."""
    alias = key["key_alias"] or ""
    return alias in aliases or alias.rpartition("-old-")[0] in aliases


def _without_meaning(name: str, because: str) -> dict:
    options = {"because": because}
    return {"name": name, "kind": "not_applicable", "group": "Keys", "options": options}


def table(found: dict) -> list[str]:
    """The report as lines for a terminal, failures last, where they are seen."""
    rows = sorted(found["checks"], key=lambda check: ORDER.index(check["status"]))
    width = min(max((len(check["name"]) for check in rows), default=0), 60)
    lines = []
    for check in rows:
        word = "n/a" if check["status"] == NOT_APPLICABLE else check["status"]
        took = milliseconds(check)
        # Who reaches whom is read as a whole, or not at all.
        found_it = _short(check["found"], 2000 if check.get("group") == "Network" else 90)
        lines.append(f"{word:<8} {check['name']:<{width}} {took:>10}  {found_it}")
        if check["status"] not in (PASSED, NOT_APPLICABLE):
            if found_it.endswith("…"):
                lines.append(f"{'':<8} found: {_short(check['found'], 600)}")
            lines.append(f"{'':<8} expected: {_short(check['expected'], 300)}")
            if check.get("action"):
                lines.append(f"{'':<8} do: {check['action']}")
    return [*lines, "", summary(found)]


def summary(found: dict) -> str:
    """The verdict as one sentence."""
    counts = ", ".join(
        f"{found[status]} {status.replace('_', ' ')}" for status in ORDER if found[status]
    )
    took = f" in {found['seconds']:.0f} s" if found.get("seconds") else ""
    return f"{len(found['checks'])} checks{took}: {counts}"


def milliseconds(check: dict) -> str:
    """How long a check took, for people; empty where that says nothing."""
    took = check.get("milliseconds")
    if took is None:
        return ""
    return f"{took / 1000:.1f} s" if took >= 10000 else f"{took:.0f} ms"


def _short(text: str, width: int = 90) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"
