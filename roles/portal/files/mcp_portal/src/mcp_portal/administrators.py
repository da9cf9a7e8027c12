"""Who is an administrator: a member of a group that the inventory names. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mcp_portal import people

# Where a session has the groups that make its person an administrator.
KEY = "administers"
# How long what the provider said of them counts. After that they are sent there again.
FRESH_SECONDS = 3600


def groups_of(claim: object, named: Iterable[str]) -> list[str]:
    """Return the groups of a claim that administrators are in."""
    theirs = people.groups_of(claim)
    return [group for group in named if group in theirs]


def is_one(session: Mapping[str, Any], named: Iterable[str]) -> bool:
    """Whether a session is that of a member of a group that is still named."""
    theirs = session.get(KEY) or ()
    return "person" in session and any(group in theirs for group in named)


def is_fresh(session: Mapping[str, Any], now: float) -> bool:
    """Whether the provider was asked for the groups lately."""
    return now - float(session.get("signed_in_at") or 0) < FRESH_SECONDS
