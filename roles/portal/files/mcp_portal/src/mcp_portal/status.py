"""What verify found last, as its role leaves it on this host."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

# Many times what a platform with hundreds of servers has.
MAX_BYTES = 4 * 1024 * 1024
# What was checked longer ago may have changed since.
OLD_SECONDS = 24 * 3600
# Units of an age, the greatest first, and how many of them say it; below all it is just now.
UNITS = (("days", 86400), ("hours", 3600), ("minutes", 60))
LEAST = 2
log = logging.getLogger("mcp_portal")


class Part(msgspec.Struct, frozen=True):
    """Something that people know: a service, a model or a tool server."""

    kind: Literal["service", "model", "server"]
    name: str
    state: Literal["passed", "partly", "failed", "unknown"]
    since: datetime | None = None


class Check(msgspec.Struct, frozen=True):
    """One that did not pass. Addresses were taken out of it."""

    name: str
    status: Literal["failed", "unknown", "warning"]
    found: str
    action: str


class Report(msgspec.Struct, frozen=True):
    at: datetime
    count: int
    parts: list[Part]
    checks: list[Check]

    def of(self, kind: str) -> list[Part]:
        return [part for part in self.parts if part.kind == kind]

    def part(self, kind: str, name: str) -> Part | None:
        return next((part for part in self.of(kind) if part.name == name), None)


class Age(NamedTuple):
    """How long ago, in words: `unit` is a part of a text's key."""

    unit: str
    count: int
    is_old: bool


class Status:
    """The file; it is read each time, since verify replaces it."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    @property
    def is_kept(self) -> bool:
        """Whether verify leaves its report here at all."""
        return self._path is not None

    def report(self) -> Report | None:
        """Return the last report; None before the first, or where it cannot be read."""
        if self._path is None:
            return None
        try:
            with Path(self._path).open("rb") as file:
                return msgspec.json.decode(file.read(MAX_BYTES), type=Report)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, ValueError) as error:
            log.warning("the report of verify cannot be read: %s", error)
            return None


def age(report: Report | None, now: datetime | None = None) -> Age | None:
    """Return how long ago verify ran."""
    if report is None:
        return None
    at = report.at.replace(tzinfo=report.at.tzinfo or UTC)
    seconds = int(((now or datetime.now(UTC)) - at).total_seconds())
    for unit, length in UNITS:
        if seconds >= LEAST * length:
            return Age(unit, seconds // length, seconds > OLD_SECONDS)
    return Age("now", 0, False)


def told(moment: datetime) -> str:
    """A moment as people read it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
