# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Redis on three hosts with Sentinel, as the roles define it."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.cluster import redis as _redis
from conftest import image, wait_until
from servers.cluster import MEMBERS, Site

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="the roles hand files to the containers' users"),
]

FAILOVER_SECONDS = 30


class Writer:
    """Sets key after key through the balancer; one counts when a replica has it, too."""

    def __init__(self, site: Site) -> None:
        self.place, self.password = (site.address("lb1"), 16379), site.secret("redis_password")
        self.written: list[tuple[str, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        self.more(20)
        return self

    def __exit__(self, *_error):
        self._ended.set()
        self._thread.join(30)

    def more(self, count: int, seconds: float = 90) -> None:
        """Wait until this many keys more were written."""
        wanted = len(self.written) + count
        wait_until(lambda: len(self.written) >= wanted, seconds, f"{count} keys more")

    def longest_gap(self) -> float:
        return max(b - a for a, b in itertools.pairwise(at for _key, at in self.written))

    def _run(self) -> None:
        numbers = itertools.count()
        while not self._ended.is_set():
            try:
                with (
                    socket.create_connection(self.place, 3) as connection,
                    connection.makefile("rb") as stream,
                ):
                    self._say(connection, stream, "AUTH", self.password)
                    while not self._ended.wait(0.05):
                        key = f"key-{next(numbers)}"
                        self._say(connection, stream, "SET", key, "x")
                        if self._say(connection, stream, "WAIT", "1", "1000"):
                            self.written.append((key, time.monotonic()))
            except (OSError, EOFError, ValueError):
                self._ended.wait(0.1)

    def _say(self, connection, stream, *words: str):
        connection.sendall(_redis.encode(words))
        answer = _redis.decode(stream)
        if isinstance(answer, _redis.RedisError):
            raise ValueError(str(answer))
        return answer


class Redis:
    """The cluster as its operator sees it."""

    def __init__(self, site: Site) -> None:
        self.site, self.password = site, site.secret("redis_password")

    def host(self, name: str) -> _redis.ClusterHost:
        address = self.site.address(name)
        return _redis.ClusterHost(
            _redis.Redis((address, 6379), self.password, "Redis"),
            _redis.Redis((address, 26379), self.password, "Sentinel"),
        )

    def role(self, name: str) -> str:
        try:
            return self.host(name).member().role
        except _redis.Unreachable:
            return ""

    def primaries(self) -> list[str]:
        return [name for name in MEMBERS if self.role(name) == "primary"]

    def options(self, name: str, state: str, **more) -> dict:
        return {
            "address": self.site.address(name),
            "password": self.password,
            "state": state,
            **more,
        }

    def has_lost(self, writer: Writer) -> list[str]:
        (primary,) = self.primaries()
        redis = self.host(primary).redis
        keys = [key for key, _at in writer.written]
        values = redis.ask("MGET", *keys)
        return [key for key, value in zip(keys, values, strict=True) if value is None]


@pytest.fixture(scope="module")
def redis(docker, tmp_path_factory, request):
    for name in ("redis", "haproxy"):
        image(name)
    site = Site(tmp_path_factory.mktemp("cluster"), docker, image)
    request.addfinalizer(site.close)
    site.declare(postgres=["data1"], redis=MEMBERS)
    site.start("lb1", "load_balancer")
    return Redis(site)


def bring(redis, run_module, host: str, members: int) -> None:
    if members == 1:  # as the role marks the first one
        first = redis.site.folder / host / "var/redis/data/first"
        first.touch()
        os.chown(first, 999, 999)
    redis.site.start(host, "redis")
    member = run_module("redis_member", **redis.options(host, "ready", members=members))
    assert not member["failed"], (
        member,
        redis.site.logs(host, "redis"),
        redis.site.logs(host, "redis_sentinel"),
    )


@pytest.fixture(scope="module")
def cluster(redis):
    from support import run_module

    for number, host in enumerate(MEMBERS, 1):
        bring(redis, run_module, host, number)
    return redis


def test_the_first_member_is_the_primary_and_the_others_follow(cluster):
    assert cluster.primaries() == ["data1"]
    for host in MEMBERS:
        assert cluster.site.check(host, "redis", "redis")
        assert cluster.site.check(host, "redis_sentinel", "redis")


def test_the_balancers_user_may_ask_for_the_role_and_nothing_else(cluster):
    with (
        socket.create_connection((cluster.site.address("data1"), 6379), 3) as connection,
        connection.makefile("rb") as stream,
    ):
        for words in (("AUTH", "balancer", "balancer"), ("ROLE",), ("GET", "x"), ("KEYS", "*")):
            connection.sendall(_redis.encode(words))
        answers = [_redis.decode(stream) for _ in range(4)]
    assert answers[0] == "OK"
    assert answers[1][0] == "master"
    assert all("NOPERM" in str(answer) for answer in answers[2:])


def test_without_the_password_sentinel_takes_no_orders(cluster):
    wrong = _redis.Redis((cluster.site.address("data1"), 26379), "wrong", "Sentinel")
    with pytest.raises(_redis.Unauthorized):
        wrong.ask("SENTINEL", "FAILOVER", "platform")


def test_a_killed_primary_is_replaced_and_comes_back_as_a_replica(cluster, run_module, capsys):
    (old,) = cluster.primaries()
    with Writer(cluster.site) as writer:
        cluster.site.kill(old, "redis")
        writer.more(30)
    gap = writer.longest_gap()
    with capsys.disabled():
        print(f"\nRedis: primary killed, {gap:.1f} s without a write, ", end="")
        print(f"{len(writer.written)} written, {len(cluster.has_lost(writer))} lost")
    assert gap < FAILOVER_SECONDS
    assert cluster.has_lost(writer) == []
    (new,) = cluster.primaries()
    assert new != old
    cluster.site.restart(old, "redis")
    member = run_module("redis_member", **cluster.options(old, "ready", members=3))
    assert member["role"] == "replica", member
    assert cluster.primaries() == [new]


def test_a_killed_primary_that_restarts_at_once_has_all_it_answered_for(cluster, run_module):
    (old,) = cluster.primaries()
    with Writer(cluster.site) as writer:
        cluster.site.kill(old, "redis")
        cluster.site.restart(old, "redis")
        writer.more(20)
    # Restarted late, it was replaced meanwhile, and Sentinel takes 8 s to make it a replica.
    wait_until(lambda: len(cluster.primaries()) == 1, 60, "one primary")
    assert cluster.has_lost(writer) == []
    for host in MEMBERS:
        member = run_module("redis_member", **cluster.options(host, "ready", members=3))
        assert not member["failed"], member


def test_a_planned_change_hands_the_lead_over_first(cluster, run_module, capsys):
    (old,) = cluster.primaries()
    handed_over = cluster.options(old, "handed_over")
    assert run_module("redis_member", check=True, **handed_over)["changed"]
    assert cluster.primaries() == [old]
    with Writer(cluster.site) as writer:
        done = run_module("redis_member", **handed_over)
        assert done["changed"] and done["role"] == "replica", done
        bring(cluster, run_module, old, 3)
        writer.more(20)
    with capsys.disabled():
        print(f"\nRedis: planned, {writer.longest_gap():.1f} s without a write")
    assert not run_module("redis_member", **handed_over)["changed"]
    assert old not in cluster.primaries()


def test_a_primary_that_is_to_leave_is_replaced_and_deregistered(cluster, run_module):
    (leaver,) = cluster.primaries()
    stay = [host for host in MEMBERS if host != leaver]
    addresses = [f"{cluster.site.address(host)}:6379" for host in stay]
    kept = cluster.options(stay[0], "kept", addresses=addresses)
    assert run_module("redis_member", check=True, **kept)["changed"]
    assert cluster.primaries() == [leaver]
    done = run_module("redis_member", **kept)
    assert not done["failed"], done
    # The one that leaves learns it from Sentinel some seconds later.
    assert set(cluster.primaries()) & set(stay)
    everybody = [f"{cluster.site.address(host)}:6379" for host in MEMBERS]
    for host in MEMBERS:
        member = run_module("redis_member", **cluster.options(host, "ready", members=3))
        assert not member["failed"], member
        same = cluster.options(host, "kept", addresses=everybody)
        assert not run_module("redis_member", **same)["changed"]


def test_all_of_them_stopped_and_started_are_one_cluster_again(cluster, run_module):
    (primary,) = cluster.primaries()
    services = ("redis_sentinel", "redis")
    for host, service in itertools.product(MEMBERS, services):
        cluster.site.stop(host, service)
    for host, service in itertools.product(MEMBERS, services):
        cluster.site.restart(host, service)
    for host in MEMBERS:
        member = run_module("redis_member", **cluster.options(host, "ready", members=3))
        assert not member["failed"], member
    assert len(cluster.primaries()) == 1
    assert primary in MEMBERS
