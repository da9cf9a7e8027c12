# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What dies or restarts, and what people notice of it: MCP calls, streams and chats go on.

A request that a killed process was working on cannot be saved; the table counts it as cut.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hosts import (
    APP1,
    APP2,
    BALANCER_RUN,
    DATA,
    INVENTORY,
    LB,
    SCENARIO,
    all_are_up,
    on,
    server_states,
    wait_until,
)
from load import Load, row

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
RECOVERY_SECONDS = 30
# What a first rollout changes, and later ones leave as it is.
CHANGED = {"gateway_memory_mb": 400, "litellm_memory_mb": 2100}


@pytest.fixture
def load(door):
    """Return a running load; every server is up before it begins."""
    wait_until(all_are_up, 120, "every server to be up")
    with Load(door) as running:
        yield running


def kill(host, container):
    """Kill a container's first process, as the kernel does when memory is short."""
    on(host, f"kill -9 $(docker inspect --format '{{{{.State.Pid}}}}' {container})")
    return time.monotonic()


def run_site(*arguments, **variables):
    """Run site.yml and return how it ended."""
    return subprocess.run(
        [PLAYBOOK, "-i", INVENTORY, *arguments, "-e", json.dumps(variables), "intranet.mcp.site"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def site(*arguments, **variables):
    """Run site.yml, which must succeed."""
    done = run_site(*arguments, **variables)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def identity(host, container):
    """Return what changes when a container is replaced."""
    return on(host, f"docker inspect --format '{{{{.Id}}}}' {container}")


def test_a_killed_gateway_costs_no_new_request(load, report):
    killed = kill(APP1, "intranet-gateway")
    wait_until(lambda: not all_are_up(), 15, "the balancer to notice")
    wait_until(all_are_up, RECOVERY_SECONDS, "the gateway to come back")
    load.more(10)
    cost = row("kill -9 of a gateway", load, killed, cut_at=killed)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_a_killed_litellm_costs_no_new_request(load, report):
    killed = kill(APP2, "intranet-litellm")
    wait_until(lambda: not all_are_up(), 15, "the balancer to notice")
    load.more(10)
    # It takes half a minute to start on an idle core; the other replica serves meanwhile.
    wait_until(all_are_up, 180, "LiteLLM to come back")
    load.more(5)
    cost = row("kill -9 of a LiteLLM", load, killed, cut_at=killed)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_a_host_that_nothing_reaches_costs_no_new_request(load, report):
    """The host drops everything that the balancer sends: no refusal, only silence."""
    table = "table inet partition { chain in { type filter hook prerouting priority -300; "
    rule = "iifname eth0 drop; }; }"
    on(APP1, f"echo '{table}{rule}' | nft -f -")
    cut = time.monotonic()
    try:
        wait_until(
            lambda: all(
                not status.startswith("UP")
                for (_service, server), status in server_states().items()
                if server == APP1
            ),
            30,
            "the balancer to notice",
        )
        load.more(5)
    finally:
        on(APP1, "nft delete table inet partition")
    healed = time.monotonic()
    wait_until(all_are_up, RECOVERY_SECONDS, "the host to come back")
    load.more(5)
    report({**row("partition of an app host", load, cut, cut_at=cut)})
    cost = row("", load, healed, cut_at=healed)
    assert cost["failed"] == 0, cost["problems"]


def test_a_scaled_out_gateway_and_a_rolling_restart_cost_nothing(load, report):
    began = time.monotonic()
    site("-i", SCENARIO / "scaled", **CHANGED)
    assert ("gateway", DATA) in server_states()
    wait_until(all_are_up, RECOVERY_SECONDS, "every server to be up")
    load.more(10)
    cost = row("rolling restart of everything, one gateway more", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_a_rollout_stops_at_the_first_replica_that_stays_unhealthy(load, report):
    began = time.monotonic()
    untouched = identity(APP2, "intranet-gateway")
    doors = ("--limit", f"{APP1}:{APP2}")
    # Too little memory to start in.
    too_little = {"gateway_memory_mb": 8, "service_health_timeout_seconds": 20}
    failed = run_site(*doors, **{**CHANGED, **too_little})
    assert failed.returncode != 0
    assert f"gateway did not become healthy on {APP1}" in failed.stdout
    assert "The load balancer sends it nothing until then" in failed.stdout
    assert identity(APP2, "intranet-gateway") == untouched
    load.more(10)
    site(*doors, **CHANGED)
    wait_until(all_are_up, RECOVERY_SECONDS, "the mended replica to be given back")
    cost = row("rollout of a gateway that cannot start", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_a_scaled_in_gateway_costs_nothing_and_leaves_nothing(load, report):
    began = time.monotonic()
    site(**CHANGED)
    assert ("gateway", DATA) not in server_states()
    assert on(DATA, "docker ps --all --quiet --filter name=intranet-gateway") == ""
    assert on(DATA, "ls -d /etc/intranet-mcp/services/gateway", check=False) == ""
    load.more(10)
    cost = row("one gateway less", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_a_balancer_that_reloads_costs_nothing(load, report):
    began = time.monotonic()
    program = (
        "import socket; s = socket.socket(socket.AF_UNIX); "
        f"s.connect('{BALANCER_RUN}/master.sock'); "
        "s.sendall(b'reload\\n'); print(s.makefile().read())"
    )
    for _ in range(3):
        assert "Success=1" in on(LB, f'python3 -c "{program}"')
        load.more(5)
    cost = row("reload of the balancer, three times", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]
