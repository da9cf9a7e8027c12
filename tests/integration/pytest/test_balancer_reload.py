# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A reload under load loses nothing, forgets nothing, and survives a wrong configuration."""

from __future__ import annotations

import os
import threading
from collections import Counter

import pytest
from conftest import wait_until

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
