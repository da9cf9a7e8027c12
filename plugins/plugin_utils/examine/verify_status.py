# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the portal tells people of verify's last report: no addresses, no secrets. Pure.

Whoever signs in reads the parts; administrators read the checks that did not pass, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    UNKNOWN,
    WARNING,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_hosts import (
    REACHES_DATABASE,
)

# Some of what belongs to a part works: one of two replicas, or one API of a model.
PARTLY = "partly"
# What people know by a name of their own, and the checks that it is made of.
SERVICES = {
    "address": ("the one address is up",),
    "models": ("litellm is alive", REACHES_DATABASE),
    "tools": ("gateway is alive", "gateway tells about itself"),
    "sign_in": ("people can sign in",),
}
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
    report: dict, models: Iterable[str], servers: Iterable[str], before: str = ""
) -> dict[str, Any]:
    """Return the portal's `status.json`.

    report: as verify made it. models, servers: names that the inventory declares. before: the last
    `status.json` as text, which says since when a part does not work; empty where there is none.
    """
    rows, since = report["checks"], _since(before)
    parts = [
        *(_part("service", name, _named(rows, names)) for name, names in SERVICES.items()),
        *(_part("model", name, _of_model(rows, name)) for name in models),
        *(_part("server", name, _of_server(rows, name)) for name in servers),
    ]
    for part in parts:
        if part["state"] in (FAILED, PARTLY):
            part["since"] = since.get((part["kind"], part["name"]), report["at"])
    bad = [row for row in rows if row["status"] in (FAILED, UNKNOWN, WARNING)]
    return {
        "at": report["at"],
        "count": len(rows),
        "parts": parts,
        "checks": [_check(row) for row in bad],
    }


def _part(kind: str, name: str, rows: list[dict]) -> dict[str, Any]:
    judged = [row["status"] for row in rows if row["status"] not in (NOT_APPLICABLE, UNKNOWN)]
    told = [status in (PASSED, WARNING) for status in judged]
    if not told:
        state = UNKNOWN
    elif all(told):
        state = PASSED
    else:
        state = PARTLY if any(told) else FAILED
    return {"kind": kind, "name": name, "state": state, "since": None}


def _named(rows: list[dict], names: Iterable[str]) -> list[dict]:
    return [row for row in rows if row["name"] in names]


def _of_model(rows: list[dict], model: str) -> list[dict]:
    """Rows about answers of a model: that it is listed says nothing of them."""
    title = f"llm {model} "
    found = [r for r in rows if r["group"] == "Models" and r["name"].startswith(title)]
    return [r for r in found if r["name"] != f"{title}models"] or found


def _of_server(rows: list[dict], server: str) -> list[dict]:
    """Rows about a server, or those that did not pass: a session alone is of no use to anybody."""
    title = f"mcp {server} "
    found = [r for r in rows if r["group"] == "Tools" and f"{r['name']} ".startswith(title)]
    return [r for r in found if r["status"] == FAILED] or found


def _since(before: str) -> dict[tuple[str, str], str]:
    """Return since when parts do not work. A file that cannot be read tells nothing."""
    try:
        parts = json.loads(before)["parts"] if before else []
        return {(p["kind"], p["name"]): str(p["since"]) for p in parts if p["since"]}
    except (ValueError, KeyError, TypeError):
        return {}


def _check(row: dict) -> dict[str, str]:
    texts = {key: _hidden(row[key]) for key in ("name", "found", "action")}
    return {**texts, "status": row["status"]}


def _hidden(text: object) -> str:
    line = _HIDDEN.sub(HIDDEN, " ".join(str(text).split()))
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"
