# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Clients that keep their connections, as HTTP libraries do (httpx, undici, aiohttp)."""

from __future__ import annotations

import select
import threading
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

CLIENTS = 16
REQUESTS_PER_SECOND = 50


class Request(NamedTuple):
    """What is sent, and how its answer is judged: `problem` reads the response and returns what is
    wrong with it, or nothing.
    """

    method: str
    path: str
    body: str | None
    headers: dict
    problem: Callable


class PersistentClient:
    """One client with one connection, kept between requests.

    Like the libraries it replaces a connection that the server has closed before it sends anything
    on it. Where the server closes it in the same moment the request is lost: no library sends a
    POST twice.
    """

    def __init__(self, connect: Callable) -> None:
        self._connect = connect
        self._connection = None
        self.opened = 0

    def send(self, request: Request) -> str:
        """Return the problem, or nothing."""
        try:
            answer = self._answer(request)
            problem = request.problem(answer)
            answer.read()  # what is left of it
        except Exception as error:
            self.close()
            return traceback.format_exception_only(error)[-1].strip()
        if answer.will_close:
            self.close()
        return problem

    def _answer(self, request: Request):
        if self._connection is None or self._was_closed():
            self.close()
            self._connection = self._connect()
            self.opened += 1
        self._connection.request(request.method, request.path, request.body, request.headers)
        return self._connection.getresponse()

    def _was_closed(self) -> bool:
        """Tell whether there is anything to read, which between requests is the end."""
        sock = self._connection.sock
        return sock is None or bool(select.select([sock], [], [], 0)[0])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PersistentClients:
    """Clients that send one request after the other at a steady rate, from `start` to `stop`.

    record: gets beginning, end and problem of each request.
    """

    def __init__(
        self,
        connect: Callable,
        request: Callable[[], Request],
        record: Callable[[float, float, str], None],
        clients: int = CLIENTS,
        per_second: float = REQUESTS_PER_SECOND,
    ) -> None:
        self._request, self._record = request, record
        self._pause = clients / per_second
        self._ended = threading.Event()
        self.clients = [PersistentClient(connect) for _ in range(clients)]
        self._threads = [
            threading.Thread(target=self._run, args=(client, self._pause * number / clients))
            for number, client in enumerate(self.clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(120)

    def _run(self, client: PersistentClient, offset: float) -> None:
        next_at = time.monotonic() + offset  # spread over the pause
        while not self._ended.wait(max(0.0, next_at - time.monotonic())):
            began = time.monotonic()
            problem = client.send(self._request())
            self._record(began, time.monotonic(), problem)
            next_at = max(next_at + self._pause, time.monotonic())
        client.close()
