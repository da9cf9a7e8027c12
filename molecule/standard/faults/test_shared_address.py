# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A second balancer: one address, which moves when its holder dies or restarts.

Connections live in the HAProxy that took them. When the address moves, what is under way on the old
holder is cut; the table counts it apart where the moment is known.
"""

from __future__ import annotations

import subprocess
import time

import pytest
from actions import CHANGED, RECOVERY_SECONDS, identity, site
from hosts import APP1, APP2, LB, SCENARIO, Client, all_are_up, on, wait_until
from load import Load, row
from persistent import CLIENTS

ADDRESS = "10.77.61.10"
BALANCERS = (LB, APP1)
OVERLAY = ("-i", SCENARIO / "two_balancers")
# Three adverts of a second and a half one, and what a busy machine adds.
MOVES_SECONDS = 15
# Of each kind of request one is under way, and each kept connection ends with the address.
UNDER_WAY = 4 + CLIENTS


def docker(*arguments):
    """Run docker on the machine that carries the hosts."""
    subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=120)


def holders():
    """Return the balancers that have the shared address now; a dead host has none."""
    command = f"ip -brief address | grep -cw {ADDRESS}"
    return [host for host in BALANCERS if on(host, command, check=False) not in ("", "0")]


def only_holder():
    """Return the holder, where there is exactly one."""
    found = holders()
    return found[0] if len(found) == 1 else None


def other_than(host):
    return next(other for other in BALANCERS if other != host)


def health(host, container):
    command = f"docker inspect --format '{{{{.State.Health.Status}}}}' {container}"
    return on(host, command, check=False)


def is_at_peace(host):
    """Tell whether a balancer is healthy and sees every server."""
    ours = ("intranet-load_balancer", "intranet-keepalived")
    return all(health(host, name) == "healthy" for name in ours) and all_are_up(host)


def wait_for_peace():
    """Wait until both balancers are well and one has the address; return that one."""
    wait_until(lambda: all(map(is_at_peace, BALANCERS)), 240, "both balancers to be well")
    return wait_until(only_holder, MOVES_SECONDS, "exactly one holder")


@pytest.fixture
def load(secrets):
    """Return a load on the shared address, which one balancer holds."""
    wait_for_peace()
    with Load(Client(secrets["key-first-developer"], ADDRESS)) as running:
        yield running


def test_a_second_balancer_costs_nothing_at_the_first_ones_address(client, report):
    before = identity(LB, "intranet-load_balancer")
    wait_until(all_are_up, 120, "every server to be up")
    with Load(client) as load:
        began = time.monotonic()
        site(*OVERLAY, **CHANGED)
        wait_for_peace()
        load.more(5)
        cost = row("a second balancer", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]
    assert identity(LB, "intranet-load_balancer") == before


def test_the_certificate_carries_the_shared_address(client):
    assert Client(address=ADDRESS).send("/health", key="").status == 200
    assert client.send("/health", key="").status == 200


def test_keepalived_has_no_more_rights_than_it_needs():
    for host in BALANCERS:
        said = on(host, "docker inspect --format '{{json .HostConfig}}' intranet-keepalived")
        assert '"CapDrop":["ALL"]' in said and '"ReadonlyRootfs":true' in said
        assert '"CapAdd":["CAP_NET_ADMIN","CAP_NET_RAW","CAP_SETGID"]' in said or (
            '"CapAdd":["NET_ADMIN","NET_RAW","SETGID"]' in said
        )


def test_vrrp_of_an_undeclared_host_is_dropped():
    program = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112); "
        "s.sendto(bytes(20), ('10.77.61.11', 0))"
    )
    listing = "nft list table inet intranet_mcp"
    closed = [x for x in on(LB, listing).splitlines() if "l4proto" in x and "drop" in x]
    assert len(closed) == 1
    on(APP2, f'python3 -c "{program}"')
    wait_until(
        lambda: closed[0].strip() not in on(LB, listing), 5, "the dropped packet to be counted"
    )


def test_a_killed_balancer_gives_the_address_away(load, report):
    holder = only_holder()
    killed = time.monotonic()
    on(holder, "docker kill intranet-load_balancer")  # stays dead, unlike one that crashes
    wait_until(lambda: only_holder() == other_than(holder), MOVES_SECONDS, "the address to move")
    moved = time.monotonic()
    load.more(5)
    on(holder, "docker start intranet-load_balancer")
    assert wait_for_peace() == other_than(holder)  # who comes back takes nothing
    cost = row("kill -9 of the balancer with the address", load, killed, cut_at=killed)
    report(cost)
    assert cost["longest_gap_seconds"] < RECOVERY_SECONDS
    after = row("", load, moved, cut_at=moved)
    assert after["failed"] == 0, after["problems"]


def test_a_dead_host_gives_the_address_away(load, report):
    """The holder's host goes without a word, with all that runs on it."""
    holder = only_holder()
    stopped = time.monotonic()
    docker("kill", holder)
    try:
        wait_until(lambda: holders() == [other_than(holder)], MOVES_SECONDS, "the address to move")
        load.more(5)
    finally:
        docker("start", holder)
    assert wait_for_peace() == other_than(holder)
    cost = row("death of the host with the address", load, stopped, cut_at=stopped)
    report(cost)
    assert cost["longest_gap_seconds"] < RECOVERY_SECONDS


def test_balancers_that_restart_hand_over_first(load, report):
    began = time.monotonic()
    site(*OVERLAY, "--limit", ":".join(BALANCERS), **CHANGED, load_balancer_memory_mb=300)
    wait_for_peace()
    load.more(5)
    cost = row("rolling restart of both balancers", load, began)
    report(cost)
    # Each holder hands over once.
    assert cost["failed"] <= len(BALANCERS) * UNDER_WAY, cost["problems"]
    assert cost["longest_gap_seconds"] < MOVES_SECONDS


def test_one_balancer_less_leaves_nothing(client, report):
    wait_for_peace()
    with Load(client) as load:
        began = time.monotonic()
        site(**CHANGED, load_balancer_memory_mb=300)
        load.more(5)
        cost = row("one balancer less", load, began)
    report(cost)
    assert cost["failed"] == 0, cost["problems"]
    assert holders() == []
    left = "docker ps --all --quiet --filter name=intranet-load_balancer --filter name=keepalived"
    assert on(APP1, left) == ""
    assert on(LB, "docker ps --all --quiet --filter name=keepalived") == ""
