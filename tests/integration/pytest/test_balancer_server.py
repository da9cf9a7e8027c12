# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Servers go out of rotation and come back, in real balancers with real requests under way."""

from __future__ import annotations

import os
import threading

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.engines import running
from conftest import wait_until
from servers.balancer import HELD

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="the balancer's directory is closed to others"),
]


@pytest.fixture
def balancer(start_balancer, replicas):
    return start_balancer(replicas)


@pytest.fixture
def change(balancer, run_module):
    def run(state, server="app1", **options):
        options.setdefault("timeout_seconds", 10)
        return run_module(
            "balancer_server",
            **balancer.spoken_to,
            backend="litellm",
            state=state,
            **({"server": server} if server else {}),
            **options,
        )

    return run


def test_a_drained_server_gets_nothing_and_is_given_back(balancer, replicas, change):
    first = change("drain")
    assert first["changed"]
    assert first["servers"]["app1"]["sessions_left"] == 0
    before = replicas[0].requests
    assert {balancer.get() for _ in range(20)} == {(200, "app2")}
    assert replicas[0].requests == before
    assert not change("drain")["changed"]

    assert change("ready")["changed"]
    assert {balancer.get()[1] for _ in range(20)} == {"app1", "app2"}
    assert not change("ready")["changed"]


def test_check_mode_says_so_and_drains_nothing(balancer, change):
    assert change("drain", check=True)["changed"]
    assert {balancer.get()[1] for _ in range(20)} == {"app1", "app2"}


def test_a_request_under_way_ends_before_the_drain_does(balancer, replicas, change):
    change("drain", server="app2")
    replicas[0].gate.clear()
    answers, drained = [], []
    request = threading.Thread(target=lambda: answers.append(balancer.get(HELD)))
    request.start()
    assert replicas[0].at_work.wait(10)
    change("ready", server="app2")
    drain = threading.Thread(target=lambda: drained.append(change("drain")))
    drain.start()

    def go_elsewhere():
        return {balancer.get()[1] for _ in range(4)} == {"app2"}

    wait_until(go_elsewhere, 10, "new requests to go elsewhere")
    assert drain.is_alive()
    replicas[0].gate.set()
    drain.join(15)
    request.join(15)
    assert answers == [(200, "app1")]
    assert drained[0]["servers"]["app1"]["sessions_left"] == 0


def test_a_server_that_is_not_ready_stays_out(balancer, replicas, change):
    change("drain")
    replicas[0].is_ready = False
    wait_until(lambda: "503" in _check_of(balancer, "app1"), 20, "a failed check")
    answer = change("ready", timeout_seconds=1)
    assert answer["failed"]
    assert answer["error"]["reason"] == "not_ready"
    assert "503" in answer["error"]["found"]
    assert {balancer.get()[1] for _ in range(10)} == {"app2"}


def test_a_server_is_given_back_even_before_its_check_passes_again(balancer, replicas, change):
    """A replica that restarted is well some moments before the balancer asks it again."""
    wait_until(lambda: balancer.is_ready("app1"), 20, "first checks")
    replicas[0].is_ready = False
    wait_until(lambda: not balancer.is_ready("app1"), 20, "failed checks")
    change("drain")
    replicas[0].is_ready = True
    assert change("ready")["changed"]
    assert {balancer.get()[1] for _ in range(20)} == {"app1", "app2"}


def test_a_server_that_is_no_longer_named_is_drained(balancer, change):
    answer = change("drain", server=None, all_but=["app2"])
    assert answer["changed"]
    assert list(answer["servers"]) == ["app1"]
    assert {balancer.get()[1] for _ in range(10)} == {"app2"}


@pytest.mark.parametrize("server", ["app9", "app10"])
def test_an_unknown_server_is_nothing_to_do(change, server):
    answer = change("drain", server=server)
    assert not answer["changed"]
    assert answer["servers"] == {}


def test_a_balancer_that_does_not_run_yet_is_nothing_to_do(run_module, tmp_path):
    answer = run_module(
        "balancer_server",
        directory=str(tmp_path),
        container="no-such-container",
        backend="x",
        server="y",
        state="ready",
    )
    assert not answer["failed"]
    assert not answer["changed"]


def test_a_replica_that_dies_costs_no_request(balancer, replicas):
    """Refused connections go to the other replica, before any check has noticed."""
    assert balancer.get()[0] == 200
    replicas[0].close()
    assert {balancer.get() for _ in range(20)} == {(200, "app2")}


def test_replicas_that_are_alive_serve_when_none_is_ready(balancer, replicas):
    def is_any_ready():
        return balancer.is_ready("app1") or balancer.is_ready("app2")

    wait_until(is_any_ready, 20, "first checks")
    for replica in replicas:
        replica.is_ready = False
    wait_until(lambda: not is_any_ready(), 20, "failed checks")
    assert balancer.get()[0] == 200
    assert balancer.get("/health") == (200, balancer.engine.degraded)


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics/x"])
def test_metrics_of_services_are_not_shown_to_people(balancer, replicas, path):
    assert balancer.get(path)[0] == 404
    assert [replica.requests for replica in replicas] == [0, 0]


def _check_of(balancer, name):
    return running(balancer.spoken_to).checked("litellm", name).check
