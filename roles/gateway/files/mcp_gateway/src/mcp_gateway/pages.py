"""A list that a server gives page by page, put together; nothing that it says makes it endless."""

from __future__ import annotations

import msgspec

from mcp_gateway import envelope
from mcp_gateway.eras import LIST_MEMBER
from mcp_gateway.faults import CUT, KEPT, Fault
from mcp_gateway.settings import Limits

MAX_PAGES = 100


class Pages:
    """The raw items of one list, and whether there is another page to ask for."""

    def __init__(self, method: str, limits: Limits) -> None:
        self.member = LIST_MEMBER[method]
        self.items: list[msgspec.Raw] = []
        self.faults: list[Fault] = []
        self.is_list = True
        self._limits = limits
        self._room = limits.response_bytes
        self._cursors: set[bytes] = set()

    def add(self, result: msgspec.Raw) -> msgspec.Raw | None:
        """Take one page; the cursor of the next one, None at the end."""
        fields = envelope.fields_of(result)
        try:
            raw = fields.get(self.member, b"null")
            self.items += msgspec.json.decode(raw, type=list[msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.is_list = bool(self.items)
            outcome = CUT if self.is_list else KEPT
            self._fault(f"the answer's {self.member} is not a list", outcome)
            return None
        cursor = fields.get("nextCursor")
        if cursor is None or cursor == envelope.RAW_NULL:
            return None
        return cursor if self._goes_on(cursor, len(bytes(result))) else None

    def refused(self, message: envelope.Message) -> None:
        """The server announced this list and answers with an error."""
        error = envelope.fields_of(message.error)
        if bytes(error.get("code", b"")) == str(envelope.METHOD_NOT_FOUND).encode():
            return  # announced by mistake: there is nothing to list
        self.is_list = False
        reason = envelope.text(error.get("message")) or "no reason given"
        self._fault(f"the server refuses it: {reason[:200]}", KEPT)

    def _goes_on(self, cursor: msgspec.Raw, size: int) -> bool:
        self._room -= size
        if envelope.text(cursor) is None:
            self._fault("nextCursor is not text", CUT)
        elif bytes(cursor) in self._cursors:
            self._fault(f"the same nextCursor ({envelope.text(cursor)!r:.80}) came twice", CUT)
        elif len(self.items) > self._limits.list_items:
            return False  # what is too much is named with the items
        elif len(self._cursors) >= MAX_PAGES or self._room < 0:
            self._fault(f"more than {MAX_PAGES} pages, or limits.response_bytes", CUT)
        else:
            self._cursors.add(bytes(cursor))
            return True
        return False

    def _fault(self, problem: str, outcome: str) -> None:
        self.faults.append(Fault(self.member, "", problem, outcome))
