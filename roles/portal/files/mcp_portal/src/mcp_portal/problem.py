"""What people are told when something does not work: a key of the locale, and what goes into it."""

from __future__ import annotations


class Problem(Exception):
    """A page with one clear message. `key` names its texts in every language."""

    def __init__(self, key: str, status: int, **values: object) -> None:
        super().__init__(key)
        self.key, self.status, self.values = key, status, values
