# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A reload under load loses nothing, keeps its state, and survives a wrong configuration."""

from __future__ import annotations

import http.client
import os
import threading
from collections import Counter

import pytest
from conftest import wait_until
from persistent import PersistentClients, Request

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="the balancer's directory is closed to others"),
]


@pytest.fixture
def balancer(start_balancer, replicas):
    return start_balancer(replicas[:1])


@pytest.fixture
def reload(balancer, run_module):
    def run(**options):
        return run_module("balancer_reload", **balancer.spoken_to, **options)

    return run


class Load:
    """Requests one after the other, until it is left."""

    def __init__(self, balancer):
        self.statuses, self._balancer, self._ended = Counter(), balancer, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error):
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self):
        while not self._ended.is_set():
            self.statuses[self._balancer.get()[0]] += 1


def test_a_new_replica_is_used_and_no_request_is_lost(balancer, replicas, reload):
    with Load(balancer) as load:
        wait_until(lambda: load.statuses[200] > 20, 30, "load")
        balancer.write(replicas)
        for _ in range(5):
            assert reload()["answer"]
        done = load.statuses[200]
        wait_until(lambda: load.statuses[200] > done + 20, 30, "load after the reload")
    assert set(load.statuses) == {200}
    assert {balancer.get()[1] for _ in range(20)} == {"app1", "app2"}


class PersistentLoad:
    """16 clients with kept connections, together 50 requests a second, until it is left."""

    def __init__(self, balancer):
        self.problems, self.sent = Counter(), 0
        request = Request("POST", "/v1/chat/completions", "{}", {}, _problem)
        self.running = PersistentClients(
            lambda: http.client.HTTPConnection(balancer.address, timeout=20),
            lambda: request,
            self._record,
        )

    def __enter__(self):
        self.running.start()
        return self

    def __exit__(self, *_error):
        self.running.stop()

    def _record(self, _began, _ended, problem):
        self.sent += 1
        if problem:
            self.problems[problem] += 1

    def more(self, count):
        """Wait for so many requests."""
        wanted = self.sent + count
        wait_until(lambda: self.sent >= wanted, 30, f"{count} requests")


def _problem(answer):
    return "" if answer.status == 200 else f"HTTP {answer.status}"


def test_clients_that_keep_their_connections_lose_no_request(balancer, reload):
    """A connection that a client holds idle must not end in the moment in which it sends."""
    with PersistentLoad(balancer) as load:
        load.more(50)
        for _ in range(3):
            assert reload()["answer"]
            load.more(100)
    assert not load.problems, load.problems
    # Kept, or moved to the new process by `Connection: close`; never one a request.
    assert all(client.opened <= 1 + 3 for client in load.running.clients)


def test_an_idle_connection_outlives_a_reload_by_one_request(balancer, reload):
    """What a client sends before it hears that the connection ended would be lost."""
    connection = http.client.HTTPConnection(balancer.address, timeout=20)
    for _ in range(2):
        connection.request("GET", "/v1/models")
        assert connection.getresponse().read() == b"app1"
    idle = connection.sock
    assert reload()["answer"]
    connection.request("GET", "/v1/models")
    assert connection.sock is idle
    assert connection.getresponse().read() == b"app1"
    connection.close()


def test_a_drained_server_stays_drained(balancer, replicas, reload, run_module):
    balancer.write(replicas)
    reload()
    run_module(
        "balancer_server",
        **balancer.spoken_to,
        backend="litellm",
        server="app1",
        state="drain",
    )
    reload()
    assert {balancer.get()[1] for _ in range(20)} == {"app2"}


def test_a_wrong_configuration_is_refused_and_the_old_one_serves_on(balancer, reload):
    balancer.spoil()
    answer = reload()
    assert answer["failed"]
    assert answer["error"]["reason"] == "refused"
    assert "no-such-word" in answer["error"]["found"]
    assert balancer.get() == (200, "app1")


def test_check_mode_reloads_nothing(balancer, replicas, reload):
    balancer.write(replicas)
    assert reload(check=True)["changed"]
    assert {balancer.get()[1] for _ in range(10)} == {"app1"}
