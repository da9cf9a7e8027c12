# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Replicas that restart, join and leave, one at a time: nobody notices."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from actions import (
    CHANGED,
    LITELLM_START_SECONDS,
    identity,
    run_site,
    site,
    site_command,
    wait_until_whole,
)
from hosts import APP1, APP2, DATA, SCENARIO, on, server_states, wait_until
from load import row

SCALED = ("-i", SCENARIO / "scaled")
# A change that LiteLLM has to restart for.
ANOTHER_BOUND = {"litellm_max_tokens": 4096}


def test_a_scaled_out_gateway_and_a_rolling_restart_cost_nothing(load, report):
    began = time.monotonic()
    site(*SCALED, **CHANGED)
    assert ("gateway", DATA) in server_states()
    wait_until_whole()
    load.more(10)
    cost = row("rolling restart of everything, one gateway more", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_a_rollout_stops_at_the_first_replica_that_stays_unhealthy(load, report):
    began = time.monotonic()
    untouched = identity(APP2, "intranet-gateway")
    apps = (*SCALED, "--limit", f"{APP1}:{APP2}")
    # Too little memory to start in.
    too_little = {"gateway_memory_mb": 8, "service_health_timeout_seconds": 20}
    failed = run_site(*apps, **{**CHANGED, **too_little})
    assert failed.returncode != 0
    assert f"gateway did not become healthy on {APP1}" in failed.stdout
    assert "The load balancer sends it nothing until then" in failed.stdout
    assert identity(APP2, "intranet-gateway") == untouched
    load.more(10)
    site(*apps, **CHANGED)
    wait_until_whole()
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


def test_a_changed_configuration_costs_nothing(load, report):
    began = time.monotonic()
    site(**CHANGED, **ANOTHER_BOUND)
    assert "max_tokens: 4096" in litellm_configuration()
    load.more(10)
    cost = row("rolling change of configuration", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_a_run_that_is_killed_in_the_middle_is_repeated_and_costs_nothing(load, report):
    began = time.monotonic()
    play = subprocess.Popen(
        site_command(**CHANGED),  # takes the configuration back
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(is_any_drained, 600, "a replica to be drained")
    os.killpg(play.pid, signal.SIGKILL)
    play.wait()
    load.more(5)
    site(**CHANGED)
    wait_until_whole(LITELLM_START_SECONDS)
    assert "max_tokens: 4096" not in litellm_configuration()
    load.more(10)
    cost = row("a run killed in the middle, and run again", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def litellm_configuration():
    """Return what the last LiteLLM to be changed was given."""
    return on(APP2, "cat /etc/intranet-mcp/services/litellm/config/config.yaml")


def is_any_drained():
    """Tell whether a run has just taken a replica out."""
    return any(status in ("MAINT", "DRAIN") for status in server_states().values())
