# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""LiteLLM's migrations, as `litellm-migrate` of its own image sees them; that changes nothing."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Engine
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    UNKNOWN,
    Finding,
    verdict,
)

# The secret stays where it is: the program in the container reads its own.
CHECK = 'DATABASE_URL=$(cat /secrets/env/DATABASE_URL) exec litellm-migrate --check --wait "$1"'


@dataclass(frozen=True)
class Migrations:
    """What the tool says. error: why it cannot tell."""

    error: str = ""
    pending: list[str] = field(default_factory=list)
    half_done: list[str] = field(default_factory=list)


def command(wait_seconds: int) -> list[str]:
    """Return what to run in LiteLLM's container; it waits for so long for database and lock."""
    return ["sh", "-c", CHECK, "ask", str(wait_seconds)]


def read(engine: Engine, container: str, argv: list[str]) -> Migrations | None:
    """Ask the tool; None where the image lacks it."""
    said = engine.run(container, argv)
    found = parse(said.text)
    if found is None and said.status not in (126, 127):
        return Migrations(said.text.strip()[-300:] or f"exit status {said.status} without a word")
    return found


def parse(said: str) -> Migrations | None:
    """Return the tool's last word among lines of both streams; None where there is none. Pure."""
    reports: list[dict[str, Any]] = []
    for line in said.splitlines():
        with contextlib.suppress(ValueError):
            reports.append(json.loads(line))
    for report in reversed(reports):
        if isinstance(report, dict) and {"pending", "half_done"} <= {*report}:
            return Migrations(report.get("msg", ""), report["pending"], report["half_done"])
        if isinstance(report, dict) and report.get("failed") and "msg" in report:
            return Migrations(report["msg"])
    return None


def judge(check: str, found: Migrations | None) -> Finding:
    """Return whether nothing is left to do. Pure."""
    expected = "nothing pending, nothing half done"
    if found is None:
        action = "the image has no litellm-migrate: see LiteLLM's log for its own migrations"
        return Finding(check, "no litellm-migrate", expected, action, status=UNKNOWN)
    if found.error:
        return Finding(check, found.error, expected, "read LiteLLM's log", service="litellm")
    action = "restart the LiteLLM container, which migrates first, and read its log"
    if found.half_done:
        action = "run doctor.yml, which says how each half-done migration is ended"
    return Finding(
        check,
        f"{len(found.pending)} pending, {len(found.half_done)} half done",
        expected,
        action,
        service="litellm",
        status=verdict(not found.pending and not found.half_done),
    )
