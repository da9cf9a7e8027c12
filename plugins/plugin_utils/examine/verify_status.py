# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the portal tells people of verify's last report: no addresses, no secrets. Pure.

Whoever signs in reads the parts; administrators read the checks that did not pass, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    UNKNOWN,
    WARNING,
    part,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_hosts import SERVICES
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_models import name_of

# Some of what belongs to a part works: one of two replicas, or one API of a model.
PARTLY = "partly"
HIDDEN = "…"
# What a text of a check may quote: addresses, names of hosts with a port, keys, tokens, sums.
_HIDDEN = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>(),;]+"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d+)?(?::\d+)?\b"
    r"|(?<![\w:])[0-9A-Fa-f]*(?::[0-9A-Fa-f]*){2,}:?[0-9A-Fa-f]+(?![\w:])"
    r"|\b[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+:\d+\b"
    r"|\bsk-[A-Za-z0-9_-]+|\b[Bb]earer\s+[^\s(),;]+"
    r"|\b[A-Za-z0-9+_-]{32,}"
)
MAX_TEXT = 400


def status(
    report: dict, models: list[dict], servers: Iterable[str], before: str = ""
) -> dict[str, Any]:
    """Return the portal's `status.json`.

    report: as verify made it; its rows say which part they are about. models: as the inventory
    declares them. servers: names. before: the last `status.json` as text, which says since when a
    part does not work; empty where there is none.
    """
    rows, since = report["checks"], _since(before)
    named = {"service": SERVICES, "model": map(name_of, models), "server": servers}
    parts = [
        _part(kind, name, [row for row in rows if row.get("part") == part(kind, name)])
        for kind, names in named.items()
        for name in dict.fromkeys(names)
    ]
    for found in parts:
        known = since.get((found["kind"], found["name"]))
        if found["state"] in (FAILED, PARTLY):
            found["since"] = known or report["at"]
        elif found["state"] == UNKNOWN:
            found["since"] = known  # a run with --limit says nothing of it
    bad = [row for row in rows if row["status"] in (FAILED, UNKNOWN, WARNING)]
    return {
        "at": report["at"],
        "count": len(rows),
        "parts": parts,
        "checks": [_check(row) for row in bad],
    }


def _part(kind: str, name: str, rows: list[dict]) -> dict[str, Any]:
    if kind == "server":  # a session alone is of no use to anybody
        rows = [row for row in rows if row["status"] == FAILED] or rows
    judged = [row["status"] for row in rows if row["status"] not in (NOT_APPLICABLE, UNKNOWN)]
    told = [status in (PASSED, WARNING) for status in judged]
    if not told:
        state = UNKNOWN
    elif all(told):
        state = PASSED
    else:
        state = PARTLY if any(told) else FAILED
    return {"kind": kind, "name": name, "state": state, "since": None}


def _since(before: str) -> dict[tuple[str, str], str]:
    """Return since when parts do not work. A file that cannot be read tells nothing."""
    try:
        parts = json.loads(before)["parts"] if before else []
        said = {(p["kind"], p["name"]): p["since"] for p in parts if p["since"]}
    except (ValueError, KeyError, TypeError):
        return {}
    return {key: moment for key, moment in said.items() if _is_moment(moment)}


def _is_moment(text: object) -> bool:
    try:
        return bool(datetime.fromisoformat(str(text)))
    except ValueError:
        return False


def _check(row: dict) -> dict[str, str]:
    texts = {key: _hidden(row[key]) for key in ("name", "found", "action")}
    return {**texts, "status": row["status"]}


def _hidden(text: object) -> str:
    line = _HIDDEN.sub(HIDDEN, " ".join(str(text).split()))
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"
