"""While a client waits: notice when it leaves, and keep its connection open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from mcp_gateway.admit import Receive
from mcp_gateway.call import Call
from mcp_gateway.responsewriter import ResponseWriter

# A quick answer needs no watch over the client; slow ones get one after this long.
WATCH_AFTER_SECONDS = 0.05
T = TypeVar("T")


async def watched(
    call: Call,
    receive: Receive,
    writer: ResponseWriter,
    keepalive_seconds: float,
    work: Awaitable[T],
) -> T:
    """Do the work; ConnectionResetError when the client leaves before it is done."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    watch: list[asyncio.Task[None]] = []

    def begin() -> None:
        assert task is not None
        watch.append(asyncio.create_task(_until_gone(receive, task)))
        watch.append(asyncio.create_task(_keep_alive(writer, keepalive_seconds)))

    timer = loop.call_later(WATCH_AFTER_SECONDS, begin)
    try:
        return await work
    except asyncio.CancelledError:
        if watch and watch[0].done() and task is not None and not call.cancelled:
            task.uncancel()
            raise ConnectionResetError("the client left") from None
        raise
    finally:
        timer.cancel()
        for w in watch:
            w.cancel()


async def _until_gone(receive: Receive, task: asyncio.Task[Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()


async def _keep_alive(writer: ResponseWriter, seconds: float) -> None:
    """Comments on a silent stream, so that no proxy takes it for dead."""
    while not writer.ended:
        await asyncio.sleep(seconds)
        await writer.ping()
