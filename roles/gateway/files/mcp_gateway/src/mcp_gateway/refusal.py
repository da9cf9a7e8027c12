"""How the pipeline says no: one exception, turned into an answer in one place."""

from __future__ import annotations

from mcp_gateway import envelope


class Refusal(Exception):
    """A request ends here. `kind` is the error class that metrics and audit count."""

    def __init__(
        self,
        kind: str,
        status: int,
        code: int,
        message: str,
        *,
        data: object = None,
        headers: dict[str, str] | None = None,
        id: bytes | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.code = code
        self.message = message
        self.data = data
        self.headers = headers or {}
        self.id = id

    def body(self, id_: bytes | None = None) -> bytes:
        """The JSON-RPC error to answer with."""
        return envelope.error(id_ or self.id, self.code, self.message, self.data)
