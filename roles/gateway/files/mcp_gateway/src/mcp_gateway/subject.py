"""The company's access token with which the request at hand came. It is kept no longer than that.

Links to servers outlive requests and serve several of one person's, so it belongs to no link: it is
where the request is handled, and what was begun for it sees it, too.
"""

from __future__ import annotations

from contextvars import ContextVar

import msgspec


class Subject(msgspec.Struct, frozen=True):
    """A token that was checked. `expires_at` is in seconds since 1970; `person` as of Principal."""

    token: str
    issuer: str
    person: str
    expires_at: float

    def __repr__(self) -> str:
        return f"Subject({self.person})"


_CURRENT: ContextVar[Subject | None] = ContextVar("subject", default=None)


def use(subject: Subject | None) -> None:
    """From here on this request came with that token; None for one with another credential."""
    _CURRENT.set(subject)


def current() -> Subject | None:
    return _CURRENT.get()
