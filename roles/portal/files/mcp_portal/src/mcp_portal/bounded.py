"""Answers of servers that are not the company's: so many bytes, as they were sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2

# As the gateway has it: many times what a token response has.
MAX_ANSWER = 64 * 1024
# A few bytes of these become many. Where a server sends them all the same, it is not read.
PLAIN = {"accept-encoding": "identity"}


async def bound(answer: httpx2.Response) -> None:
    """Have an answer end where it has become too large; the client reads all of any."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("compressed, which nobody asked for", request=answer.request)
    assert isinstance(answer.stream, httpx2.AsyncByteStream)
    answer.stream = _Bounded(answer.stream)


HOOKS: dict[str, list[Callable[[Any], Awaitable[None]]]] = {"response": [bound]}


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for data in self._stream:
            size += len(data)
            if size > MAX_ANSWER:
                raise httpx2.DecodingError(f"more than {MAX_ANSWER} bytes")
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()


def reason_of(error: Exception) -> str:
    """Why there is no answer, in words of ours: a server's own may be in the text of others."""
    if isinstance(error, httpx2.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, (httpx2.ConnectError, httpx2.DecodingError)):
        return str(error)[:200]
    return type(error).__name__ if isinstance(error, httpx2.HTTPError) else "no token response"
