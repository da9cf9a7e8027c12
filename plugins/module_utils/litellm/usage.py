# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What keys used of LiteLLM's models, out of its daily sums, which outlive its spend logs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.client import LiteLLMClient

# Name here -> LiteLLM's.
COUNTED = {
    "requests": "api_requests",
    "failed_requests": "failed_requests",
    "input_tokens": "prompt_tokens",
    "cached_tokens": "cache_read_input_tokens",
    "output_tokens": "completion_tokens",
    "cost": "spend",
}
# A reply holds a row a day and key, so that a month of thousands of keys needs several.
DAYS_A_REPLY = 8

Row = dict[str, Any]


def usage(client: LiteLLMClient, since: str, until: str) -> list[Row]:
    """Return what each key used from one day to another (both included), a row a team and person.

    LiteLLM sums by person for every request, and by team only for those of a team's key. Both sums
    say whose the key was when it was used, whatever became of it.
    """
    found: dict[tuple[str, ...], Row] = {}
    for first, last in _periods(since, until):
        by_user = _by_day_and_key(_export(client, "user", first, last))
        by_team = _by_day_and_key(_export(client, "team", first, last))
        # What only one of them has is used all the same.
        for day_and_key in {**by_user, **by_team}:
            _add_day(found, by_user.get(day_and_key, []), by_team.get(day_and_key, []))
    return sorted(found.values(), key=lambda row: (row["team"], row["user"], row["key_alias"]))


def _periods(since: str, until: str) -> Iterator[tuple[str, str]]:
    first, end = _day(since), _day(until)
    if first > end:
        raise errors.Refused(
            f"usage from {since} until {until}", "a first day before the last", "swap the two"
        )
    while first <= end:
        last = min(first + timedelta(days=DAYS_A_REPLY - 1), end)
        yield first.isoformat(), last.isoformat()
        first = last + timedelta(days=1)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise errors.Refused(
            f"the day {text!r}", "a date", "write it so, for example 2027-01-31"
        ) from None


def _export(client: LiteLLMClient, entity: str, since: str, until: str) -> list[Row]:
    reply = client.get(
        f"/{entity}/daily/activity/export",
        start_date=since,
        end_date=until,
        export_type="daily_with_keys",
        format="json",
    )
    if not isinstance(reply, list) or not all(isinstance(row, dict) for row in reply):
        raise errors.Unexpected(
            f"LiteLLM at {client.http.url} exports {str(reply)[:200]!r}",
            "a list of daily sums, as version 1.108.7 does",
            "deploy the version of LiteLLM that this collection pins (make versions)",
        )
    return reply


def _by_day_and_key(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["date"], row["api_key"] or ""), []).append(row)
    return found


def _add_day(found: dict[tuple[str, ...], Row], by_user: list[Row], by_team: list[Row]) -> None:
    """Add one key's day, each team's part of it first, and what is left to no team."""
    # The entity of a team's sums is the team.
    persons = by_user or [{**row, "entity_id": ""} for row in by_team]
    person = max(persons, key=lambda row: row["api_requests"] or 0)
    rest = _sum(by_user)
    for row in by_team:
        if row["entity_id"]:
            part = _sum([row])
            _add(found, row["entity_id"], person, part)
            rest = {name: max(rest[name] - part[name], 0) for name in COUNTED}
    if rest["requests"] or rest["input_tokens"] or rest["output_tokens"]:
        _add(found, "", person, rest)


def _sum(rows: list[Row]) -> Row:
    return {name: sum(row[theirs] or 0 for row in rows) for name, theirs in COUNTED.items()}


def _add(found: dict[tuple[str, ...], Row], team: str, person: Row, part: Row) -> None:
    identity = {
        "team": team,
        "user": person["entity_id"] or person["user_id"] or "",
        "key_alias": person["key_alias"] or "",
        "key_hash": person["api_key"] or "",
    }
    total = found.setdefault(tuple(identity.values()), {**identity, **dict.fromkeys(COUNTED, 0)})
    for name, value in part.items():
        total[name] += value
