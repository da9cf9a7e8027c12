"""Questions that wait for a client's answer.

Legacy servers ask in the middle of a call, modern ones end the call with `input_required`. A
client of the other era gets the question in its own way; what has to be remembered meanwhile is
here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from mcp_gateway import envelope
from mcp_gateway.sessions import Sealer
from mcp_gateway.upstreams.base import Exchange, Link, UpstreamError

MAX_PARKED = 1000
MAX_PARKED_BY_CALLER = 50
Deliver = Callable[[envelope.Message], None]


class Questions:
    """Requests sent to legacy clients, until they answer."""

    def __init__(self, sealer: Sealer, home: str) -> None:
        self._sealer = sealer
        self._home = home
        self._waiting: dict[tuple[str, str], Deliver] = {}

    def ask(self, uid: str, deliver: Deliver) -> str:
        """A request id for the client; `deliver` gets its answer."""
        id_ = "gw." + self._sealer.seal([self._home, uid], "question")
        self._waiting[uid, id_] = deliver
        return id_

    def deliver(self, uid: str, id_: str, message: envelope.Message) -> bool:
        """Hand over an answer; False when nobody waits for it here."""
        waiting = self._waiting.pop((uid, id_), None)
        if waiting is not None:
            waiting(message)
        return waiting is not None

    def home_of(self, uid: str, id_: str) -> str | None:
        """The replica that asked this session; None when none of us did."""
        opened = self._open(id_, "gw.", "question")
        return str(opened[0]) if opened and opened[1] == uid else None

    def pass_on(self, uid: str, server: str, id_: bytes) -> str:
        """The id for the client of a question that a server asks in the client's own session.

        It carries what the answer needs, so that any replica can take the answer.
        """
        return "gp." + self._sealer.seal_again([uid, server, id_], "passed question")

    def passed(self, uid: str, id_: str) -> tuple[str, bytes] | None:
        """(server, its own id) of a question passed on to this session; None for another id."""
        opened = self._open(id_, "gp.", "passed question")
        return (str(opened[1]), bytes(opened[2])) if opened and opened[0] == uid else None

    def _open(self, id_: str, prefix: str, purpose: str) -> list[Any] | None:
        return self._sealer.open(id_[3:], list, purpose) if id_.startswith(prefix) else None

    def withdraw(self, uid: str, ids: list[str]) -> None:
        for id_ in ids:
            self._waiting.pop((uid, id_), None)

    def __len__(self) -> int:
        return len(self._waiting)


class Parked(msgspec.Struct):
    """A call to a legacy server that waits until a modern client comes back with input."""

    exchange: Exchange
    link: Link
    server: str
    method: str
    owner: str
    ask_id: bytes
    timer: asyncio.TimerHandle


class Parking:
    """Parked calls by the sealed state that their client brings back."""

    KEY = "input"

    def __init__(self, sealer: Sealer, wait_seconds: float, home: str) -> None:
        self._sealer = sealer
        self._home = home
        self.wait_seconds = wait_seconds
        self._parked: dict[str, Parked] = {}
        self._cancelling: set[asyncio.Task[None]] = set()

    def park(
        self,
        exchange: Exchange,
        link: Link,
        server: str,
        method: str,
        owner: str,
        ask: envelope.Message,
    ) -> envelope.Fields:
        """Keep the call; the `input_required` result to give to the client."""
        if len(self._parked) >= MAX_PARKED:
            raise UpstreamError("busy", "too many calls already wait for input from their clients")
        if sum(parked.owner == owner for parked in self._parked.values()) >= MAX_PARKED_BY_CALLER:
            raise UpstreamError(
                "busy", f"{MAX_PARKED_BY_CALLER} of your calls already wait for input"
            )
        key = secrets.token_hex(16)
        timer = asyncio.get_running_loop().call_later(self.wait_seconds, self._expire, key)
        assert ask.id is not None
        self._parked[key] = Parked(exchange, link, server, method, owner, ask.id, timer)
        request = {"method": ask.method, "params": ask.fields.get("params", msgspec.Raw(b"{}"))}
        return {
            "resultType": envelope.raw("input_required"),
            "inputRequests": envelope.raw({self.KEY: request}),
            "requestState": envelope.raw("gw1." + self._sealer.seal([self._home, key], "parked")),
        }

    def knows(self, state: str) -> bool:
        """Whether this is the state of a call parked here (a bridge behind us makes its own)."""
        return state.startswith("gw1.") and self._sealer.open(state[4:], list, "parked") is not None

    def home_of(self, state: str) -> str:
        """The replica where the call waits; empty when it is this one, or nobody knows."""
        opened = self._sealer.open(state[4:], list, "parked")
        return str(opened[0]) if opened and opened[1] not in self._parked else ""

    def resume(self, state: str, server: str, method: str, owner: str) -> Parked | None:
        """The parked call; None when it expired or belongs to somebody or something else."""
        opened = self._sealer.open(state[4:], list, "parked")
        key = str(opened[1]) if opened else ""
        parked = self._parked.get(key)
        if parked is None:
            return None
        if (parked.server, parked.method, parked.owner) != (server, method, owner):
            return None
        parked.timer.cancel()
        return self._parked.pop(key)

    def _expire(self, key: str) -> None:
        parked = self._parked.pop(key, None)
        if parked is not None:
            task = asyncio.create_task(parked.exchange.cancel("no input came"))
            self._cancelling.add(task)
            task.add_done_callback(self._cancelling.discard)

    def __len__(self) -> int:
        return len(self._parked)
