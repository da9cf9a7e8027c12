# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the portal shows and hands out: the settings of people's bundles, without a key. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.clients.settings_install import rendered
from ansible_collections.intranet.mcp.plugins.plugin_utils.clients import bundle, members, settings
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import own_credentials
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import servers as servers_of

# What the portal puts the person's key and name in place of.
KEY, ALIAS = "sk-intranet-mcp-portal-key", "intranet-mcp-portal-alias"
# What all CLIs share.
SHARED = (settings.KEY_FILE, settings.PORTAL_FILE, settings.LOGIN_FILE)


def site(
    table: list[dict], teams: list[dict], names: list[str], models: dict, about: dict, texts: dict,
    servers: dict,
) -> dict[str, Any]:  # fmt: skip
    """Return the portal's `site.json`.

    table: rows of group and team. names: CLIs. models: `names` of those that are offered, and the
    `preferred` one. about, texts: as for `bundle.files`. servers: the MCP servers in effect.
    """
    wanted = {row["team"] for row in table}
    people = [_member(team, models) for team in teams if team["name"] in wanted]
    made = {p["team"]: bundle.files(p, about, names, texts) for p in people if p["model"]}
    common = _common(list(made.values()))
    return {
        "litellm_url": about["litellm"],
        "gateway_url": about["gateway"],
        "has_own_ca": bool(about["ca"]),
        "models": [_model(model) for model in about["sizes"]],
        "servers": {name: entry.get("description", "") for name, entry in servers.items()},
        "personal": own_credentials.audiences(servers),
        "tools": {name: _tools(entry) for name, entry in servers.items() if _expected(entry)},
        "open": {team["name"]: _open(team) for team in teams if team["name"] in wanted},
        "policy": {
            "default": about["policy"]["default"],
            "rules": _rules(about["policy"]["rules"]),
        },
        "files": list(common.values()),
        "teams": {
            person["team"]: {
                "clients": [_client(name, about, person) for name in names],
                "files": [f for f in map(_file, made[person["team"]]) if f["path"] not in common],
            }
            for person in people
            if person["model"]
        },
    }


def _expected(server: dict) -> list[str]:
    return server.get("expect", {}).get("tools", [])


def _tools(server: dict) -> dict[str, list[str]]:
    """Tools that the inventory names: what the gateway offers of them, and what it leaves out."""
    offered = servers_of.offered(server, _expected(server))
    left_out = [tool for tool in _expected(server) if tool not in offered]
    return {"offered": offered, "left_out": left_out}


def _open(team: dict) -> dict[str, Any]:
    """What the inventory opens to a team; None: everything."""
    return {"models": team.get("models") or None, "servers": team.get("mcp")}


def _rules(rules: list[dict]) -> list[dict[str, Any]]:
    """The site's rules, as far as they are about tools; people need not know whom they name."""
    return [
        {
            "name": rule["name"],
            "effect": rule.get("effect", "allow"),
            "teams": rule.get("teams", []),
            "servers": rule.get("servers", ["*"]),
            "tools": rule.get("tools", ["*"]),
            "is_for_some": bool(rule.get("keys") or rule.get("groups")),
        }
        for rule in rules
    ]


def _member(team: dict, models: dict) -> dict:
    """Somebody of the team, as far as they are like all others."""
    person = members.person(team, {"alias": ALIAS}, models["names"], models["preferred"])
    return {**person, "key": KEY}


def _model(model: dict) -> dict:
    return {
        "name": model["name"],
        "context": model["context"],
        "max_output": model["max_output"],
        "capabilities": model["capabilities"] or [],
    }


def _file(file: dict) -> dict:
    return {name: file[name] for name in ("path", "content", "mode")}


def _common(bundles: list[list[dict]]) -> dict[str, dict]:
    """Files that are the same for every team, by path."""
    if not bundles:
        return {}
    first, *others = [{file["path"]: _file(file) for file in files} for files in bundles]
    return {p: f for p, f in first.items() if all(other.get(p) == f for other in others)}


def _client(name: str, about: dict, person: dict) -> dict:
    """Settings of one CLI as they are shown; what all share is left out."""
    entries = settings.entries([name], "user", {**about, "ca": ""}, person)
    files = [
        {"path": entry["path"], "content": rendered(entry)}
        for entry in entries
        if entry["path"] not in SHARED
    ]
    return {"name": name, "title": about["manifest"][name]["title"], "files": files}
