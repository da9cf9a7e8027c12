"""What is wrong in a server's lists, and how everybody who can change it gets to hear of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import msgspec

log = logging.getLogger("mcp_gateway.faults")
# The key under which a list's `_meta` names them, for programs such as mcp_health.
META_FAULTS = "intranet.mcp/faults"
MAX_NAMED = 50
REPAIRED, LEFT_OUT = "repaired", "left out"
CUT, KEPT = "read no further", "the last good list stays"


class Fault(msgspec.Struct, frozen=True):
    """Something that was wrong in a list of a server, and what became of it."""

    kind: str
    name: str  # "" when the list itself is at fault
    problem: str
    outcome: str

    def __str__(self) -> str:
        return (
            f"{self.kind}{f' {self.name!r}' if self.name else ''}: {self.problem}; {self.outcome}"
        )


def report(server: str, faults: list[Fault], known: list[Fault]) -> None:
    """Log each fault once, and again when it is something else."""
    before = set(known)
    fresh = [fault for fault in faults if fault not in before]
    for fault in fresh[:MAX_NAMED]:
        log.warning("%s: %s", server, fault)
    if len(fresh) > MAX_NAMED:
        log.warning("%s: and %d more of this kind", server, len(fresh) - MAX_NAMED)


def described(faults: list[Fault]) -> list[dict[str, str]]:
    """The first of them, for people and programs."""
    return [msgspec.structs.asdict(fault) for fault in faults[:MAX_NAMED]]


def counted(faults: list[Fault]) -> Counter[tuple[str, str]]:
    """How many there are by kind of item and outcome."""
    return Counter((fault.kind, fault.outcome) for fault in faults)


def meta(
    by_server: dict[str, list[Fault]], kind: str, may_see: Callable[[str, str], bool]
) -> dict[str, object]:
    """`_meta` of a list that names what `may_see(server, name)` lets this caller know."""
    found = [
        {"server": server, **msgspec.structs.asdict(fault)}
        for server, faults in by_server.items()
        for fault in faults
        if fault.kind == kind and may_see(server, fault.name)
    ]
    return {"_meta": {META_FAULTS: found[:MAX_NAMED]}} if found else {}
