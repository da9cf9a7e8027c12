# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Data on three hosts: from one to three by the inventory alone, then what dies and what restarts.

After the other faults, as there is no way back from three to one but by backup and restore: the
last test takes the three apart and begins anew with one.
"""

from __future__ import annotations

import json
import time

import pytest
from actions import CHANGED, kill, run_site, site
from hosts import APP1, APP2, DATA, LB, SCENARIO, on, reached, server_states, wait_until
from load import Load, row

HA = ("-i", SCENARIO / "ha")
MEMBERS = [APP1, APP2, DATA]
SERVICES = ("postgres", "redis")
FAILOVER_SECONDS = 30
SQL = "docker exec intranet-postgres psql -XAtq -U litellm -d litellm -c"
OPEN = {2379, 2380, 5432, 6379, 8008, 26379}


def leads(service):
    """Return the host that the balancer leads to, empty where it is none or several."""
    rows = server_states().items()
    up = [host for (backend, host), status in rows if backend == service and status == "UP"]
    return up[0] if len(up) == 1 else ""


def entry_points_are_up():
    """Tell whether every replica of gateway and LiteLLM gets requests."""
    rows = server_states().items()
    return {status for (backend, _), status in rows if backend not in SERVICES} == {"UP"}


def members():
    """Return what PostgreSQL's cluster says of itself, by host."""
    read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8008/cluster').read().decode())"
    for host in MEMBERS:
        said = on(host, f'python3 -c "{read}"', check=False)
        if said:
            return {member["name"]: member for member in json.loads(said)["members"]}
    return {}


def is_whole():
    """Tell whether one leads and the others stream, and Redis has its primary."""
    found = members()
    states = sorted(member["state"] for member in found.values())
    return states == ["running", "streaming", "streaming"] and leads("postgres") and leads("redis")


@pytest.fixture(scope="module")
def keys():
    """Return how many keys the one database had, before it became three."""
    return int(on(DATA, f"""{SQL} 'select count(*) from "LiteLLM_VerificationToken"'"""))


@pytest.fixture(scope="module")
def three(keys):
    """Data on three hosts; it was on one."""
    assert keys > 0
    site(*HA, **CHANGED)
    wait_until(is_whole, 60, "three members")


@pytest.fixture
def load(client, three):
    wait_until(lambda: entry_points_are_up() and is_whole(), 120, "everything to be up")
    with Load(client) as running:
        yield running


def test_the_host_that_had_the_data_keeps_it_and_the_others_have_it_too(three, keys):
    assert leads("postgres") == DATA
    for host in MEMBERS:
        query = f"""{SQL} 'select count(*) from "LiteLLM_VerificationToken"'"""
        assert int(on(host, query)) == keys


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (LB, APP1, {5432, 6379, 8008}),
        (LB, DATA, {5432, 6379, 8008}),
        (APP1, APP2, OPEN),
        (DATA, APP1, OPEN),
        (APP1, LB, {15432, 16379}),
        (DATA, LB, set()),
    ],
)
def test_members_and_the_balancer_reach_each_other_as_declared(three, source, target, expected):
    assert reached(source, target, OPEN | {15432, 16379}) == expected


def test_a_second_run_changes_nothing(three):
    done = run_site(*HA, **CHANGED)
    assert done.returncode == 0, done.stdout[-6000:]
    recap = [line for line in done.stdout.splitlines() if "changed=" in line]
    assert recap and all("changed=0 " in line for line in recap), recap


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_primary_costs_no_request(load, report, service):
    """It restarts by itself at once, so it may well stay the primary."""
    killed = kill(leads(service), f"intranet-{service}")
    load.more(20)
    wait_until(is_whole, 120, "three members again")
    cost = row(f"kill -9 of the primary of {service}", load, killed, cut_at=killed)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_stopped_primary_is_replaced(load, report, service):
    """One that does not come back."""
    old = leads(service)
    stopped = time.monotonic()
    # Paused rather than stopped: it hands nothing over, it is only silent.
    on(old, f"docker pause intranet-{service}")
    try:
        wait_until(lambda: leads(service) not in ("", old), 90, "another primary")
        took = time.monotonic() - stopped
        load.more(10)
    finally:
        on(old, f"docker unpause intranet-{service}")
    wait_until(is_whole, 120, "three members again")
    cost = row(f"silence of the primary of {service} ({took:.0f} s)", load, stopped)
    report(cost)
    # Known keys are served from the replicas' memory meanwhile.
    assert cost["failed"] == 0, cost["problems"]
    assert took < FAILOVER_SECONDS


def test_a_rolling_change_of_the_members_costs_nothing(load, report):
    began, old = time.monotonic(), leads("postgres")
    changed = {**CHANGED, "postgres_memory_mb": 800, "redis_memory_mb": 400}
    site(*HA, **changed)
    assert leads("postgres") not in ("", old), "the primary came last, after it had handed over"
    wait_until(is_whole, 60, "three members again")
    cost = row("rolling restart of three PostgreSQLs and Redises", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]


def test_back_to_one_host_everything_begins_anew(three):
    for host in MEMBERS:
        for service in ("postgres", "etcd", "redis", "redis_sentinel"):
            on(host, f"docker rm -f intranet-{service}")
            on(host, f"rm -rf /var/lib/intranet-mcp/{service} /etc/intranet-mcp/services/{service}")
    site()
    assert "postgres" not in {backend for backend, _host in server_states()}
