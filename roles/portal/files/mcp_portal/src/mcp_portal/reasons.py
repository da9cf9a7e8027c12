"""Why somebody may not use something, and which setting opens it: as the inventory says it. Pure.

The gateway and LiteLLM decide; what they show is never doubted here.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import NamedTuple

from mcp_portal.site import Open, Rule, Site
from mcp_portal.status import Report, told


class Reason(NamedTuple):
    """A text's key, and what goes into it."""

    key: str
    values: dict[str, str]


def of_models(site: Site, team: str, names: Iterable[str]) -> dict[str, Reason]:
    """Return why models that are declared are not among the team's `names`."""
    seen, declared = set(names), site.open.get(team, Open()).models
    return {
        model.name: Reason("model_missing", {})
        if declared is None or model.name in declared
        else Reason("model_team", {"team": team})
        for model in site.models
        if model.name not in seen
    }


def of_servers(
    site: Site, team: str, listed: Iterable[str], report: Report | None
) -> dict[str, Reason]:
    """Return why servers show no tool."""
    seen = set(listed)
    return {
        name: _decided(site, team, name, None) or _of_open_server(site, name, report)
        for name in site.servers
        if name not in seen
    }


def of_tools(site: Site, team: str, server: str, listed: Iterable[str]) -> dict[str, Reason]:
    """Return why tools that the inventory names are not among those of a server that is shown."""
    seen, declared = set(listed), site.tools.get(server)
    if declared is None:
        return {}
    left_out = {tool: Reason("tool_server", {"server": server}) for tool in declared.left_out}
    missing = Reason("tool_missing", {"server": server})
    offered = {tool: _decided(site, team, server, tool) or missing for tool in declared.offered}
    return {tool: why for tool, why in {**offered, **left_out}.items() if tool not in seen}


def _of_open_server(site: Site, server: str, report: Report | None) -> Reason:
    part = report.part("server", server) if report else None
    if server in site.personal:
        return Reason("server_token", {})
    if part is not None and part.state == "failed" and part.since:
        return Reason("server_down", {"when": told(part.since)})
    return Reason("server_missing", {})


def _decided(site: Site, team: str, server: str, tool: str | None) -> Reason | None:
    """Return what refuses this; None where nothing that the portal knows does.

    The first rule that concerns the team decides. tool: None for the whole server.
    """
    for rule in site.policy.rules:
        if not _is_about(rule, server, tool):
            continue
        is_meant = _is_meant(rule, team)
        if rule.effect == "deny" and is_meant is not False:
            return Reason("rule" if is_meant else "rule_maybe", {"rule": rule.name})
        if is_meant:
            return None
    opened = site.open.get(team, Open()).servers
    if opened is None:
        is_closed = site.policy.default == "deny"
        return Reason("default", {"team": team}) if is_closed else None
    if server not in opened:
        return Reason("server_team", {"team": team})
    if tool is not None and not matches(tool, opened[server]):
        return Reason("tool_team", {"team": team, "server": server})
    return None


def _is_meant(rule: Rule, team: str) -> bool | None:
    """Whether a rule concerns the whole team; None: those with certain keys or groups, maybe.

    As the gateway reads it: whoever is in one of its teams, or has one of its keys or groups.
    """
    if rule.is_for_some:
        return matches(team, rule.teams) or None
    return not rule.teams or matches(team, rule.teams)


def _is_about(rule: Rule, server: str, tool: str | None) -> bool:
    """tool: None for the whole server, which one that opens some tools opens, and which only one
    that closes all of them closes."""
    if not matches(server, rule.servers):
        return False
    if tool is not None:
        return matches(tool, rule.tools)
    return bool(rule.tools) if rule.effect == "allow" else rule.tools == ["*"]


def matches(name: str, globs: list[str]) -> bool:
    """Whether any glob matches; a leading `!` excludes and wins. As the gateway reads them."""
    if any(fnmatch.fnmatchcase(name, glob[1:]) for glob in globs if glob.startswith("!")):
        return False
    positive = [glob for glob in globs if not glob.startswith("!")]
    return any(fnmatch.fnmatchcase(name, glob) for glob in positive) or (
        not positive and bool(globs)
    )
