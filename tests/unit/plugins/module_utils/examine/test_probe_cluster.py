# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Verdicts over clusters of data."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import read_cluster
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probe_cluster as probe

LEADER = {"name": "a", "role": "leader", "state": "running"}
FOLLOWER = {"name": "b", "role": "sync_standby", "state": "streaming", "lag": 0}
OTHER = {"name": "c", "role": "replica", "state": "streaming", "lag": 4 << 20}


def postgres(*members):
    cluster = read_cluster({"members": list(members)})
    rows = probe.judge_postgres("cluster", cluster, ["a", "b", "c"], 16 << 20)
    return {row.check: row.status for row in rows}, " ".join(row.found for row in rows)


def test_one_that_leads_and_two_that_stream_are_well():
    statuses, _found = postgres(LEADER, FOLLOWER, OTHER)
    assert statuses == {"cluster leader": "passed", "cluster members": "passed"}


@pytest.mark.parametrize(
    ("members", "statuses", "text"),
    [
        ([FOLLOWER, OTHER], ["failed", "failed"], "a is not there"),
        ([LEADER, FOLLOWER], ["passed", "failed"], "c is not there"),
        ([LEADER, FOLLOWER, {**OTHER, "lag": 64 << 20}], ["passed", "failed"], "65536 KiB behind"),
        ([LEADER, FOLLOWER, {**OTHER, "state": "starting"}], ["passed", "failed"], "starting"),
        ([LEADER, {**LEADER, "name": "b"}, OTHER], ["failed", "passed"], "a, b"),
    ],
)
def test_what_is_wrong_is_named(members, statuses, text):
    found = postgres(*members)
    assert list(found[0].values()) == statuses
    assert text in found[1]


MEMBERS = "1, started, a, p, c, false\n2, started, b, p, c, false\n"


@pytest.mark.parametrize(
    ("status", "listed", "complaint", "expected", "text"),
    [
        (0, MEMBERS + "3, started, c, p, c, false\n", "", "passed", "3 members"),
        (0, MEMBERS, "", "failed", "2 members"),
        (1, "", "context deadline exceeded", "failed", "context deadline exceeded"),
    ],
)
def test_etcd_answers_only_with_a_majority(status, listed, complaint, expected, text):
    (row,) = probe.judge_etcd("etcd", status, listed, complaint, 3)
    assert (row.status, row.found) == (expected, text)


def view(flags="master", replicas="2", others="2"):
    fields = {"ip": "192.0.2.1", "port": "6379", "flags": flags}
    fields |= {"num-slaves": replicas, "num-other-sentinels": others}
    return [word for pair in fields.items() for word in pair]


PRIMARY = probe.as_answer(["master", "10", "192.0.2.2", "6379", "10", "192.0.2.3", "6379", "10"])
HALF = probe.as_answer(["master", "10", "192.0.2.2", "6379", "10"])
REPLICA = ["slave", "192.0.2.1", "6379", "connected", "10"]


@pytest.mark.parametrize(
    ("role", "seen", "expected"),
    [
        (PRIMARY, view(), ["passed", "passed"]),
        (REPLICA, view(), ["passed", "passed"]),
        (["slave", "192.0.2.9", "6379", "connected", "1"], view(), ["failed", "passed"]),
        (["slave", "192.0.2.1", "6379", "connect", "1"], view(), ["failed", "passed"]),
        (PRIMARY, view(replicas="1"), ["passed", "failed"]),
        (
            probe.as_answer(["master", "10", "192.0.2.2", "6379", "10"]),
            view(),
            ["failed", "passed"],
        ),
        (PRIMARY, view(others="1"), ["passed", "failed"]),
        (REPLICA, view(flags="master,o_down"), ["passed", "failed"]),
    ],
)
def test_redis_and_sentinel_must_agree(role, seen, expected):
    rows = probe.judge_redis("redis", role, seen, 3, "intranet-redis")
    assert [row.status for row in rows] == expected


def test_a_primary_counts_its_replicas():
    assert PRIMARY == ["master", "10", ["192.0.2.2", "192.0.2.3"]]
