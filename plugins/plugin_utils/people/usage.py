# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What people and teams used in a month: one report out of LiteLLM's sums and the gateways' logs.

Pure.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused, Unknown

COUNTED = (
    "requests",
    "failed_requests",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost",
    "tool_calls",
    "tool_calls_failed",
    "tool_calls_refused",
)
_OLD = re.compile(r"-old-[0-9a-f]{8}$")
NO_TEAM = "(no team)"
NOBODY = "(nobody)"

Row = dict[str, Any]


def period(month: str) -> dict[str, str]:
    """Return the first and the last day of a month."""
    match = re.fullmatch(r"([1-9][0-9]{3})-(0[1-9]|1[0-2])", str(month))
    if not match:
        raise Refused(
            f"usage_month {month!r}", "a year and a month", "write it so, for example 2027-01"
        )
    days = calendar.monthrange(int(match[1]), int(match[2]))[1]
    return {"since": f"{month}-01", "until": f"{month}-{days}"}


def report(models: list[Row], gateways: Mapping[str, Row], known: Row, wanted: Row) -> Row:
    """Return the month's people and tools, totals of teams, and what the reader must know of them.

    models: `usage` of litellm_usage_info. gateways: host -> result of gateway_usage_info, empty
    where it gave none. known: `teams`, `users` and `keys` of litellm_info. wanted: month, team
    (empty for all), platform (its name), at (ISO 8601).
    """
    names = {team["team_id"]: team["team_alias"] or team["team_id"] for team in known["teams"]}
    mails = {user["user_id"]: user["user_email"] or "" for user in known["users"]}
    owners = {row["key_alias"]: row["user"] for row in models if row["key_alias"] and row["user"]}
    owners |= {k["key_alias"]: k["user_id"] for k in known["keys"] if k["key_alias"]}
    people: dict[tuple[str, str], Row] = {}
    for row in models:
        person = row["user"] or _alias(row["key_alias"]) or NOBODY
        _add(people, names.get(row["team"], row["team"]), person, row)
    tools = [_tool(call, names, owners) for found in gateways.values() for call in _calls(found)]
    for tool in tools:
        numbers = {"tool_calls": tool["calls"], "tool_calls_failed": tool["failed"]}
        numbers["tool_calls_refused"] = tool["refused"]
        _add(people, tool["team"], tool["person"], numbers)
    for (_team, person), row in people.items():
        row["email"] = mails.get(person, "")
    found = {"people": _sorted(people.values()), "tools": _added(tools)}
    return {**wanted, **_only(found, wanted["team"], names), "notes": notes(gateways, wanted)}


def _calls(found: Row) -> list[Row]:
    return found.get("calls") or []


def _tool(call: Row, names: Mapping[str, str], owners: Mapping[str, str]) -> Row:
    """A caller's calls of a tool, with whose key it was."""
    alias = _alias(call["caller"])
    owner = owners.get(call["caller"]) or owners.get(alias)
    team = names.get(call["team"], call["team"]) or NO_TEAM
    who = {"team": team, "person": owner or alias or NOBODY}
    return {**call, **who, "tool": call["tool"] or "(unknown)"}


def _alias(alias: str) -> str:
    """A key's alias; while the key is rotated, its old value has another one, with its hash."""
    return _OLD.sub("", alias)


def _add(people: dict[tuple[str, str], Row], team: str, person: str, numbers: Row) -> None:
    who = {"team": team or NO_TEAM, "person": person}
    row = people.setdefault(tuple(who.values()), {**who, **dict.fromkeys(COUNTED, 0)})
    for name in COUNTED:
        row[name] += numbers.get(name, 0)


def _added(tools: list[Row]) -> list[Row]:
    """One row a person and tool, whatever gateways and keys the calls took."""
    found: dict[tuple[str, ...], Row] = {}
    for tool in tools:
        identity = {name: tool[name] for name in ("team", "person", "server", "tool")}
        row = found.setdefault(
            tuple(identity.values()), {**identity, "calls": 0, "failed": 0, "refused": 0}
        )
        for name in ("calls", "failed", "refused"):
            row[name] += tool[name]
    return sorted(found.values(), key=lambda row: (row["team"], row["person"], -row["calls"]))


def _sorted(people: Iterable[Row]) -> list[Row]:
    return sorted(people, key=lambda row: (row["team"] == NO_TEAM, row["team"], row["person"]))


def _only(found: dict[str, list[Row]], team: str, names: Mapping[str, str]) -> dict[str, list[Row]]:
    if not team:
        return found
    team = names.get(team, team)
    there = {*names.values(), *(row["team"] for rows in found.values() for row in rows)}
    if team not in there:
        raise Unknown(
            f"usage_team {team!r}",
            f"a team that LiteLLM has, or that used something ({', '.join(sorted(there))})",
            "correct the name, or leave it out for all teams",
        )
    return {name: [row for row in rows if row["team"] == team] for name, rows in found.items()}


def notes(gateways: Mapping[str, Row], wanted: Row) -> list[str]:
    """Return what is missing, in sentences."""
    said = []
    for host, found in gateways.items():
        if "calls" not in found:
            said.append(
                f"{host} did not answer, or was not asked: calls of tools through its gateway are "
                "missing."
            )
        elif found["is_whole"]:
            pass
        elif not found["begins"]:
            said.append(f"The logs of the gateway's pods in {host} have no call of a tool.")
        elif found.get("pods"):
            said.append(
                f"Calls of tools in {host} are those in the logs of pods that run now, from "
                f"{found['begins']} on. What pods that are gone wrote is where the cluster "
                "collects its logs."
            )
        else:
            said.append(
                f"The audit log of {host} begins on {found['begins']}: earlier calls of tools are "
                "missing (gateway_audit_keep_files, gateway_audit_file_mb)."
            )
        if found.get("unreadable"):
            said.append(f"{found['unreadable']} lines of {host}'s audit log cannot be read.")
    if wanted["at"][:7] < wanted["month"]:
        said.append("The month has not begun: is it the one that was meant?")
    if wanted["at"][:7] == wanted["month"]:
        said.append(f"The month is not over: this is its usage until {wanted['at'][:16]} UTC.")
    return said


def teams(found: Row) -> list[Row]:
    """Return a row a team, with how many people used something."""
    totals: dict[str, Row] = {}
    for person in found["people"]:
        start = {"team": person["team"], "people": 0, **dict.fromkeys(COUNTED, 0)}
        row = totals.setdefault(person["team"], start)
        row["people"] += 1
        for name in COUNTED:
            row[name] += person[name]
    return list(totals.values())


def total(rows: Iterable[Row]) -> Row:
    """Return the sums of all rows."""
    return {name: sum(row[name] for row in rows) for name in COUNTED}
