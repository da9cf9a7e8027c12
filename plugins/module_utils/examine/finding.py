# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a check found: the one result of preflight, verify and doctor, which each select and show.

Preflight and doctor show what did not pass, verify a row for every check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError

# A check that could not run is unknown, and never passed. One that has no meaning for this
# platform is not applicable, and says why.
PASSED, FAILED, UNKNOWN, NOT_APPLICABLE = "passed", "failed", "unknown", "not_applicable"
# What did not pass and is not required, or is only just enough. It is shown, and fails nothing.
WARNING = "warning"


def verdict(is_good: bool | None) -> str:
    """Return the status of a judgement; None means that nothing could be judged."""
    return UNKNOWN if is_good is None else PASSED if is_good else FAILED


def part(kind: str, name: str) -> dict[str, str]:
    """Return what a row is about, where people know it: a service, a model or a tool server."""
    return {"kind": kind, "name": name}


@dataclass(frozen=True)
class Finding:
    """What is there, what should be, what to do.

    check: what was checked, a word to select it by (preflight, doctor) or its title (verify). fix:
    what `--tags fix` does about it, empty where only a person may decide. service: the service it
    concerns, empty for the host. milliseconds, first_ms: how long it took, and until the first
    streamed piece, where that says something. part: kind and name of what people know that it is
    about: a service, a model or a tool server.
    """

    check: str
    found: str = ""
    expected: str = ""
    action: str = ""
    fix: str = ""
    service: str = ""
    status: str = FAILED
    milliseconds: float | None = None
    first_ms: float | None = None
    part: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.status in (PASSED, NOT_APPLICABLE):  # needs no action
            object.__setattr__(self, "action", "")

    @classmethod
    def of(cls, check: str, error: ServiceError, status: str = FAILED) -> Finding:
        """Return what an error says."""
        return cls(check, error.found, error.expected, error.action, status=status)

    def __str__(self) -> str:
        return f"{self.found}; expected {self.expected}: {self.action}"

    @property
    def is_failed(self) -> bool:
        return self.status == FAILED

    def as_dict(self) -> dict[str, str]:
        """Return it as preflight and doctor report it."""
        names = ("check", "found", "expected", "action", "fix", "service")
        return {name: getattr(self, name) for name in names}

    def as_row(self) -> dict[str, Any]:
        """Return it as a row of verify."""
        return {
            "name": self.check,
            "status": self.status,
            "found": str(self.found),
            "expected": str(self.expected),
            "action": self.action,
            "milliseconds": self.milliseconds,
            "first_ms": self.first_ms,
            "part": part(*self.part) if self.part else None,
        }
