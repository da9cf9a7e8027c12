"""Work that many ask for at once and that is done once; some failures hold for some seconds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
# So that everybody's calls do not become as many requests to somebody who is away.
AGAIN_SECONDS = 5.0
MAX_FAILURES = 10_000


class OnceEach(Generic[K, T]):
    """One task a key. Who stops waiting does not stop it for the others.

    holds: whether a failure is one that would come again if it was tried at once.
    """

    def __init__(self, holds: Callable[[Exception], bool]) -> None:
        self._holds = holds
        self._underway: dict[K, asyncio.Task[T]] = {}
        self._failed: OrderedDict[K, tuple[float, Exception]] = OrderedDict()

    async def get(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work for this key returns or raises, begun now or before."""
        until, error = self._failed.get(key, (0.0, None))
        if error is not None and time.monotonic() < until:
            raise error.with_traceback(None)
        task = self._underway.get(key)
        if task is None:
            task = self._underway[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def _ended(self, key: K, task: asyncio.Task[T]) -> None:
        del self._underway[key]
        self._failed.pop(key, None)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception) and self._holds(error):
            self._failed[key] = (time.monotonic() + AGAIN_SECONDS, error)
            if len(self._failed) > MAX_FAILURES:
                self._failed.popitem(last=False)
