# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a check is: one row with a verdict. Shared by every probe and by the report."""

from __future__ import annotations

from typing import Any

# A check that could not run is unknown, and never passed. One that has no meaning for this
# platform is not applicable, and says why.
PASSED, FAILED, UNKNOWN, NOT_APPLICABLE = "passed", "failed", "unknown", "not_applicable"
STATUSES = (PASSED, FAILED, UNKNOWN, NOT_APPLICABLE)
# What did not pass and is not required, or is only just enough. It is shown, and fails nothing.
WARNING = "warning"


def verdict(is_good: bool | None) -> str:
    """Return the status of a judgement; None means that nothing could be judged."""
    return UNKNOWN if is_good is None else PASSED if is_good else FAILED


def row(
    name: str,
    status: str,
    found: Any = "",
    expected: Any = "",
    action: str = "",
    milliseconds: float | None = None,
    first_ms: float | None = None,
) -> dict[str, Any]:
    """Return one row of a report. What passed needs no action."""
    return {
        "name": name,
        "status": status,
        "found": str(found),
        "expected": str(expected),
        "action": "" if status in (PASSED, NOT_APPLICABLE) else action,
        "milliseconds": milliseconds,
        "first_ms": first_ms,
    }
