# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Collects differences once, so that `changed` and the diff can never disagree."""

from __future__ import annotations

from typing import Any

MASK = "(hidden)"


class Difference:
    """What is different between the current and the desired state, field by field."""

    def __init__(self) -> None:
        self._fields: dict[str, tuple[Any, Any]] = {}

    def __repr__(self) -> str:
        return f"Difference({', '.join(sorted(self._fields)) or 'none'})"

    def compare(self, field: str, before: Any, after: Any, secret: bool = False) -> bool:
        """Note the field when it differs and say whether it does."""
        if before == after:
            return False
        if secret:
            before, after = (MASK if before else before), f"{MASK}, changed"
        self._fields[field] = (before, after)
        return True

    @property
    def is_empty(self) -> bool:
        """True when nothing differs."""
        return not self._fields

    @property
    def fields(self) -> list[str]:
        """Names of the fields that differ, sorted."""
        return sorted(self._fields)

    def as_diff(self) -> dict[str, dict[str, Any]]:
        """Return the form that `ansible-playbook --diff` prints."""
        return {
            "before": {name: pair[0] for name, pair in sorted(self._fields.items())},
            "after": {name: pair[1] for name, pair in sorted(self._fields.items())},
        }
