# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What verify found on all hosts: a row a check, a verdict over all, lines for a terminal. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    UNKNOWN,
    WARNING,
    Finding,
    verdict,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.people.plan import MEMBER_ROLE

ORDER = (PASSED, NOT_APPLICABLE, WARNING, UNKNOWN, FAILED)
# What the role registers beside the probes' own result, in the order of the report.
FURTHER = ("__verify_used", "__verify_attacked", "__verify_closed", "__verify_measured")


def results(hosts: Iterable[tuple[str, Mapping[str, Any]]], site_keys: list[dict]) -> dict:
    """Return the result of `health` on each host, with what further tasks found put before it.

    hosts: name and variables. A host that did not answer keeps the result that says so.
    site_keys: `litellm_keys`.
    """
    found = {}
    for host, variables in hosts:
        health = variables.get("__verify_health") or {}
        if "checks" in health:
            rows = [row for name in FURTHER for row in _checks(variables.get(name))]
            told = variables.get("__verify_people")
            if told is not None and not told.get("skipped"):
                rows += people_rows(told, site_keys)
            health = {**health, "checks": rows + health["checks"]}
        found[host] = health
    return found


def _checks(result: dict | None) -> list[dict]:
    return (result or {}).get("checks") or []


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
    checks = [_excused(check, advisory or [], not_applicable or {}) for check in checks]
    counts = {status: sum(check["status"] == status for check in checks) for status in ORDER}
    return {**facts, **counts, "checks": checks}


def _silent(host: str, result: dict) -> dict:
    error = result.get("error") or {}
    found = error.get("found") or result.get("msg") or "no answer"
    action = error.get("action") or "check that Ansible reaches the host, then run verify again"
    silent = Finding(f"host {host}", found, "an examination of it", action, status=UNKNOWN)
    return {"group": "Hosts", **silent.as_row()}


def _excused(check: dict, advisory: list[str], not_applicable: dict[str, str]) -> dict:
    if check["status"] == UNKNOWN:
        for glob, because in not_applicable.items():
            if fnmatch.fnmatchcase(check["name"], glob):
                found = f"{because} (declared; found: {check['found']})"
                return {**check, "status": NOT_APPLICABLE, "found": found, "action": ""}
    is_advice = any(fnmatch.fnmatchcase(check["name"], glob) for glob in advisory)
    if is_advice and check["status"] in (FAILED, UNKNOWN):
        return {**check, "status": WARNING}
    return check


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
