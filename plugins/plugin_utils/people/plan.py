# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Teams as data: what is wrong with them, what LiteLLM is to have, what the gateway is to allow.

Pure. `problems` judges `teams` and `litellm_keys` as a whole; `plan` turns them into the options of
litellm_team, litellm_user and litellm_key; `gateway_rules` into rules of the gateway's policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timezone
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import client

# An alias names a file of secrets, a user and a key; a team's name stands in the gateway's globs.
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
TEAM = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?")
# Made by the platform itself; those that the gateway is asked with, and those that it is not: the
# portal's, and the one that other sites ask models with.
CALLERS = ("verify", "verify-revoked", "verify-intruder", "prometheus")
RESERVED = dict.fromkeys(
    (*CALLERS, "intranet-portal", "other-sites"), "the platform's own key of that name"
)

# What LiteLLM calls those who use the keys they were given, and make none.
MEMBER_ROLE = "internal_user_viewer"

_TEAM_KEYS = ("name", "models", "budget", "limits", "mcp", "expires", "members")
_MEMBER_KEYS = ("alias", "email", "models", "budget", "limits", "expires", "state")


# --- what is wrong ------------------------------------------------------------------------------


def problems(
    teams: Any, keys: Any, servers: Iterable[str] = (), models: Iterable[str] | None = None
) -> list[Finding]:
    """Return everything that is wrong, at once.

    servers: names of the MCP servers in effect. models: names that are declared; None where more
    of them may be in LiteLLM's database, so that only LiteLLM can tell.
    """
    found = [*_shape("teams", teams), *_shape("litellm_keys", keys)]
    if found:
        return found
    known = None if models is None else sorted(models)
    for team in teams:
        found += _team_problems(team, set(servers), known)
    for key in keys:
        found += _model_problems(f"the key {key.get('key_alias')}", key.get("models"), known)
    return [*found, *_name_problems(teams, keys)]


def _shape(name: str, entries: Any) -> Iterator[Finding]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        yield _problem(
            f"{name} is {_kind(entries)}",
            "a list of mappings",
            f"write {name} as docs/en/developers.md shows",
        )


def _team_problems(team: dict, servers: set[str], models: list[str] | None) -> Iterator[Finding]:
    name = team.get("name")
    where = f"the team {name}"
    if not isinstance(name, str) or not TEAM.fullmatch(name):
        yield _problem(
            f"a team's name is {name!r}",
            "letters, digits, blanks, '.', '_' and '-', not empty",
            "give every team a name of its own",
        )
    yield from _unknown_keys(where, team, _TEAM_KEYS)
    yield from _limit_problems(where, team)
    yield from _model_problems(where, team.get("models"), models)
    yield from _server_problems(where, team.get("mcp"), servers)
    members = team.get("members") or []
    yield from _shape(f"members of {where}", members)
    for member in members if isinstance(members, list) else ():
        if isinstance(member, dict):
            yield from _member_problems(team, member, models)


def _member_problems(team: dict, member: dict, models: list[str] | None) -> Iterator[Finding]:
    where = f"{member.get('alias')} in the team {team.get('name')}"
    yield from _unknown_keys(where, member, _MEMBER_KEYS)
    yield from _limit_problems(where, member)
    if member.get("state", "present") not in ("present", "absent"):
        yield _problem(
            f"{where} has the state {member['state']!r}", "present or absent", "correct it"
        )
    yield from _beyond_the_team(where, team, member)
    own, allowed = member.get("models"), team.get("models")
    beyond = []
    if _are_texts(own) and _are_texts(allowed) and allowed:
        beyond = sorted(name for name in own if not client.is_known(name, allowed))
    if beyond:
        yield _problem(
            f"{where} may use {', '.join(beyond)}, the team may not",
            f"models of the team ({', '.join(allowed)})",
            "add them to the team, or take them from the member",
        )
    else:
        yield from _model_problems(where, own, models)


def _beyond_the_team(where: str, team: dict, member: dict) -> Iterator[Finding]:
    """LiteLLM lets no key into a team that may ask faster than the team."""
    for name in ("tpm", "rpm"):
        own, allowed = (_limit(entry, name) for entry in (member, team))
        if isinstance(own, int) and isinstance(allowed, int) and own > allowed:
            yield _problem(
                f"limits.{name} of {where} is {own}",
                f"at most the team's {allowed}",
                "lower it, or raise the team's",
            )


def _unknown_keys(where: str, entry: dict, known: Iterable[str]) -> Iterator[Finding]:
    for key in sorted(set(entry) - set(known), key=str):
        yield _problem(f"{where} has a {key!r}", ", ".join(known), "correct or remove it")


def _limit_problems(where: str, entry: dict) -> Iterator[Finding]:
    yield from _mapping_problems(where, entry, "budget", {"amount": (int, float), "period": str})
    yield from _mapping_problems(where, entry, "limits", {"tpm": int, "rpm": int})
    budget = entry.get("budget")
    if isinstance(budget, dict):
        if "amount" not in budget:
            yield _problem(f"{where} has a budget without amount", "US dollars", "add amount")
        period = budget.get("period")
        if isinstance(period, str) and not client.BUDGET_PERIOD.fullmatch(period):
            yield _problem(
                f"{where} has a budget with the period {period!r}",
                "a number and one of s, m, h, d, w, mo, such as 30d",
                "correct it, or leave it out for a budget that is never reset",
            )
    try:
        _moment(entry.get("expires"))
    except Refused as error:
        yield _problem(f"{where} expires at {error.found}", error.expected, error.action)


def _limit(entry: dict, name: str) -> Any:
    limits = entry.get("limits")
    return limits.get(name) if isinstance(limits, dict) else None


def _mapping_problems(where: str, entry: dict, name: str, kinds: dict) -> Iterator[Finding]:
    value = entry.get(name)
    if value is None:
        return
    shape = f"a mapping of {' and '.join(kinds)}"
    if not isinstance(value, dict):
        yield _problem(f"{where} has {_kind(value)} as {name}", shape, "correct it")
        return
    yield from _unknown_keys(f"{name} of {where}", value, kinds)
    for key, kind in kinds.items():
        given = value.get(key)
        is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
        if given is not None and (
            not isinstance(given, kind) or isinstance(given, bool) or (is_number and given < 0)
        ):
            wanted = "text" if kind is str else "a number, not negative"
            yield _problem(f"{name}.{key} of {where} is {given!r}", wanted, "correct it")


def _model_problems(where: str, wanted: Any, known: list[str] | None) -> Iterator[Finding]:
    if wanted is None:
        return
    if not _are_texts(wanted):
        yield _problem(f"{where} has {_kind(wanted)} as models", "a list of names", "correct it")
        return
    missing = sorted(
        name for name in wanted if known is not None and not client.is_known(name, sorted(known))
    )
    if missing:
        yield _problem(
            f"{where} names the unknown model {', '.join(missing)}",
            f"models that are declared ({', '.join(known) or 'none'})",
            "declare it in ollama_models or litellm_custom_apis, or correct the name; leave models "
            "out for every model (litellm_store_models: true, where models are kept in LiteLLM's "
            "database)",
        )


def _server_problems(where: str, mcp: Any, servers: set[str]) -> Iterator[Finding]:
    if mcp is None:
        return
    if not isinstance(mcp, dict):
        yield _problem(
            f"{where} has {_kind(mcp)} as mcp",
            "a mapping of servers to globs of tools",
            'write it so: {filesystem: ["read_*"]}',
        )
        return
    for server, globs in mcp.items():
        if server not in servers:
            yield _problem(
                f"{where} names the unknown MCP server {server}",
                f"servers of this platform ({', '.join(sorted(servers)) or 'none'})",
                "add it to mcp_servers, or correct the name",
            )
        if not _are_texts(globs) or not all(globs):
            yield _problem(
                f"mcp.{server} of {where} is {_kind(globs)}",
                "a list of globs of tool names",
                'write it so: ["read_*"], or ["*"] for all of the server',
            )


def _name_problems(teams: list[dict], keys: list[dict]) -> Iterator[Finding]:
    yield from _twice("name", ((f"the team {t.get('name')}", t.get("name")) for t in teams))
    people = [
        (f"the team {team.get('name')}", member)
        for team in teams
        for member in team.get("members") or []
        if isinstance(member, dict)
    ]
    aliases = [(where, member.get("alias")) for where, member in people]
    aliases += [("litellm_keys", key.get("key_alias")) for key in keys]
    for where, alias in aliases:
        if not isinstance(alias, str) or not ALIAS.fullmatch(alias):
            yield _problem(
                f"an alias in {where} is {alias!r}",
                "letters, digits, '.', '_' and '-', not empty: it names a file, too",
                "give every member and every key an alias of its own",
            )
    taken = [(holder, alias) for alias, holder in RESERVED.items()]
    yield from _twice("alias", [*taken, *aliases])
    mails = [
        (f"{m.get('alias')} of {where}", m.get("email"))
        for where, m in people
        if m.get("state", "present") == "present"
    ]
    yield from _twice("email", mails)


def _twice(what: str, entries: Iterable[tuple[str, Any]]) -> Iterator[Finding]:
    """LiteLLM lets equal aliases collide, and tells `Alice` from `alice`, which people do not."""
    holders: dict[str, str] = {}
    for where, value in entries:
        if not isinstance(value, str) or not value:
            continue
        if value.casefold() in holders:
            yield _problem(
                f"the {what} {value} is there twice ({holders[value.casefold()]}; {where})",
                f"each {what} once, however it is written",
                "rename one of the two, or remove it",
            )
        holders.setdefault(value.casefold(), where)


def _problem(found: str, expected: str, action: str) -> Finding:
    return Finding("inventory", found, expected, action)


def _kind(value: Any) -> str:
    names = {str: "text", dict: "a mapping", list: "a list with other things", bool: "a boolean"}
    return names.get(type(value), "nothing" if value is None else "a number")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


# --- what LiteLLM is to have --------------------------------------------------------------------


def plan(
    teams: list[dict], keys: list[dict], routes: list[str], now: datetime | None = None
) -> dict[str, list]:
    """Return options for litellm_team, litellm_user and litellm_key, keys without their values.

    routes: what keys may call of LiteLLM.
    """
    now = now or datetime.now(timezone.utc)  # noqa: UP017 - as in the modules
    people = [
        (team, member)
        for team in teams
        for member in team.get("members") or []
        if member.get("state", "present") == "present"
    ]
    gone = [
        member["alias"]
        for team in teams
        for member in team.get("members") or []
        if member.get("state") == "absent"
    ]
    return {
        "teams": [
            {"team_alias": team["name"], "team_id": team["name"], **_options(team)}
            for team in teams
        ],
        "users": [
            *(_user(team, member) for team, member in people),
            *({"user_id": alias, "state": "absent"} for alias in gone),
        ],
        "keys": [
            *(_site_key(key, routes) for key in keys),
            *(_member_key(team, member, routes, now) for team, member in people),
            *({"key_alias": alias, "state": "absent"} for alias in gone),
        ],
    }


def _user(team: dict, member: dict) -> dict:
    mail = {"user_email": member["email"]} if member.get("email") else {}
    person = {"user_id": member["alias"], "user_role": MEMBER_ROLE, "teams": [team["name"]]}
    return {**person, **mail}


def _site_key(key: dict, routes: list[str]) -> dict:
    """An entry of `litellm_keys`; what it leaves out is no limit, routes excepted."""
    unlimited = {"models": [], "max_budget": -1, "budget_duration": "", "tpm_limit": -1}
    unlimited |= {"rpm_limit": -1, "metadata": {}, "team_id": "", "user_id": ""}
    return {**unlimited, "allowed_routes": routes, **key}


def _member_key(team: dict, member: dict, routes: list[str], now: datetime) -> dict:
    alias = member["alias"]
    moment = _moment(member.get("expires", team.get("expires")))
    if moment and moment <= now:
        return {"key_alias": alias, "state": "absent"}
    return {
        "key_alias": alias,
        "team_id": team["name"],
        "user_id": alias,
        "allowed_routes": routes,
        **_options(member),
        **({"expires": moment.isoformat()} if moment else {"duration": "never"}),
    }


def _options(entry: dict) -> dict:
    """Models, budget and limits in the modules' words; what is left out is no limit."""
    budget, limits = entry.get("budget") or {}, entry.get("limits") or {}
    return {
        "models": entry.get("models") or [],
        "max_budget": _or_none(budget.get("amount")),
        "budget_duration": budget.get("period") or "",
        "tpm_limit": _or_none(limits.get("tpm")),
        "rpm_limit": _or_none(limits.get("rpm")),
    }


def _or_none(limit: float | None) -> float:
    return -1 if limit is None else limit


def _moment(given: Any) -> datetime | None:
    """Return a moment; YAML turns a bare date into one of its own kind."""
    if given is None or given == "":
        return None
    return client.point_in_time(given.isoformat() if isinstance(given, date) else str(given))


def secret_names(keys: list[dict], rotating: Iterable[str] = ()) -> list[str]:
    """Return the secret that holds the value of each key that is to be there.

    While a key is rotated that is its next one, which becomes the key's own once LiteLLM has it.
    """
    aliases = set(rotating)
    return [
        f"{'next-key' if key['key_alias'] in aliases else 'key'}-{key['key_alias']}"
        for key in keys
        if _is_wanted(key)
    ]


def with_values(
    keys: list[dict], values: list[str], rotating: Iterable[str], grace: str, rotate_after: str
) -> list[dict]:
    """Return the keys, with their values where they are to be there (in the order of
    `secret_names`).

    Grace is for rotation. Where somebody put another value into a key's place by hand, perhaps
    since the old one leaked, the old one ends at once.
    """
    aliases, upcoming = set(rotating), iter(values)
    return [
        {
            "rotate_after": rotate_after or None,
            "grace_period": grace if key["key_alias"] in aliases else "0s",
            **key,
            "key": next(upcoming),
        }
        if _is_wanted(key)
        else key
        for key in keys
    ]


def _is_wanted(key: dict) -> bool:
    return key.get("state", "present") == "present"


def declared_models(ollama: list[dict], apis: list[dict]) -> list[str]:
    """Return the names of models that the inventory offers."""
    own = [model["name"] for model in ollama if model.get("state", "present") == "present"]
    return sorted({*own, *(api["model_name"] for api in apis)})


# --- what the gateway is to allow ---------------------------------------------------------------


def gateway_rules(teams: list[dict]) -> list[dict]:
    """Return policy rules: a team with `mcp` gets its tools and nothing else, others no rule.

    The gateway learns a key's team from LiteLLM by the team's id, which is its name here. Prompts
    and resources go with the whole of a server only: who is given some tools is given no more.
    """
    rules = []
    for team in teams:
        if team.get("mcp") is None:
            continue
        name = team["name"]
        rules += [_allow(name, server, globs) for server, globs in sorted(team["mcp"].items())]
        rules.append({"name": f"team {name}: nothing else", "effect": "deny", "teams": [name]})
    return rules


def gateway_known(teams: list[dict], keys: list[dict], rules: list[dict]) -> dict[str, list[str]]:
    """Return whose keys the gateway takes, nothing while no team has `mcp`, so that all may come.

    Else a key without a team, or of a team made by hand, would be held by no rule and get every
    tool. rules: the site's own; whom they name is known, too.
    """
    if all(team.get("mcp") is None for team in teams):
        return {}
    present = [key["key_alias"] for key in keys if _is_wanted(key)]
    aliases = sorted({*CALLERS, *present, *_named(rules, "keys")})
    # While a key is rotated, its old value goes on under another alias.
    return {
        "known_teams": sorted({*(team["name"] for team in teams), *_named(rules, "teams")}),
        "known_keys": [name for alias in aliases for name in (alias, f"{alias}-old-*")],
    }


def _named(rules: list[dict], who: str) -> set[str]:
    """Names in rules; a glob names nobody."""
    return {name for rule in rules for name in rule.get(who) or [] if not set("*?[!") & set(name)}


def _allow(name: str, server: str, globs: list[str]) -> dict:
    rule = {
        "name": f"team {name}: {server}",
        "effect": "allow",
        "teams": [name],
        "servers": [server],
        "tools": list(globs),
    }
    return rule if globs == ["*"] else {**rule, "prompts": [], "resources": []}
