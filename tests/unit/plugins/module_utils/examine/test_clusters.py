# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Verdicts over clusters of data."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import read_cluster
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.redis import Member, View
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Said
from ansible_collections.intranet.mcp.plugins.module_utils.examine import clusters

LEADER = {"name": "a", "role": "leader", "state": "running"}
FOLLOWER = {"name": "b", "role": "sync_standby", "state": "streaming", "lag": 0}
OTHER = {"name": "c", "role": "replica", "state": "streaming", "lag": 4 << 20}


def postgres(*members, names=("a", "b", "c")):
    cluster = read_cluster({"members": list(members)})
    rows = [
        clusters.judge_leader("leader", cluster, "x-postgres"),
        clusters.judge_members("members", cluster, 16 << 20, "x-postgres", names),
    ]
    return [row.status for row in rows], " ".join(row.found for row in rows)


def test_one_that_leads_and_two_that_stream_are_well():
    assert postgres(LEADER, FOLLOWER, OTHER)[0] == ["passed", "passed"]


@pytest.mark.parametrize(
    ("members", "statuses", "text"),
    [
        ([FOLLOWER, OTHER], ["failed", "failed"], "a is not there"),
        ([FOLLOWER, OTHER], ["failed", "failed"], "PostgreSQL has no primary: b (sync_standby"),
        ([LEADER, FOLLOWER], ["passed", "failed"], "c is not there"),
        ([LEADER, FOLLOWER, {**OTHER, "lag": 64 << 20}], ["passed", "failed"], "65536 KiB behind"),
        ([LEADER, FOLLOWER, {**OTHER, "state": "starting"}], ["passed", "failed"], "starting"),
        ([LEADER, {**LEADER, "name": "b"}, OTHER], ["failed", "passed"], "2 members lead: a, b"),
    ],
)
def test_what_is_wrong_is_named(members, statuses, text):
    found = postgres(*members)
    assert found[0] == statuses
    assert text in found[1]


def test_who_does_not_know_the_members_misses_none():
    assert postgres(LEADER, FOLLOWER, names=None)[0] == ["passed", "passed"]


def test_a_member_that_cannot_catch_up_is_named_in_what_to_do():
    cluster = read_cluster({"members": [LEADER, {**FOLLOWER, "state": "start failed"}]})
    judged = clusters.judge_members("members", cluster, 1, "x-postgres")
    assert "docker exec x-postgres patronictl" in judged.action
    assert judged.action.endswith("reinit postgres b")


MEMBERS = "1, started, a, p, c, false\n2, started, b, p, c, false\n"


@pytest.mark.parametrize(
    ("status", "listed", "complaint", "members", "expected", "text"),
    [
        (0, MEMBERS + "3, started, c, p, c, false\n", "", 3, "passed", "3 members"),
        (0, MEMBERS, "", 3, "failed", "2 members"),
        (0, MEMBERS, "", None, "passed", "2 members"),
        (1, "", "x\ncontext deadline exceeded", 3, "failed", "primary: context deadline exceeded"),
        (1, "", "", None, "failed", "no answer"),
    ],
)
def test_etcd_answers_only_with_a_majority(status, listed, complaint, members, expected, text):
    judged = clusters.judge_etcd("etcd", Said(status, listed, complaint, ""), members)
    assert (judged.status, judged.found.endswith(text)) == (expected, True)


def view(flags=("master",), replicas=2, sentinels=3):
    return View("192.0.2.1:6379", flags, replicas, sentinels)


PRIMARY = Member("primary", "", True, 2)
REPLICA = Member("replica", "192.0.2.1:6379", True, 0)


@pytest.mark.parametrize(
    ("member", "seen", "expected"),
    [
        (PRIMARY, view(), ["passed", "passed"]),
        (REPLICA, view(), ["passed", "passed"]),
        (Member("replica", "192.0.2.9:6379", True, 0), view(), ["failed", "passed"]),
        (Member("replica", "192.0.2.1:6379", False, 0), view(), ["failed", "passed"]),
        (PRIMARY, view(replicas=1), ["passed", "failed"]),
        (Member("primary", "", True, 1), view(), ["failed", "passed"]),
        (PRIMARY, view(sentinels=2), ["passed", "failed"]),
        (REPLICA, view(flags=("master", "o_down")), ["passed", "failed"]),
    ],
)
def test_redis_and_sentinel_must_agree(member, seen, expected):
    rows = [
        clusters.judge_redis("member", member, seen, 3, "x-redis"),
        clusters.judge_sentinels("primary", seen, 3),
    ]
    assert [row.status for row in rows] == expected


@pytest.mark.parametrize(("replicas", "status"), [(1, "passed"), (0, "failed")])
def test_who_does_not_know_the_members_wants_one_replica_of_a_primary(replicas, status):
    member = Member("primary", "", True, replicas)
    assert clusters.judge_redis("member", member, None, None, "x-redis").status == status
    assert clusters.judge_sentinels("primary", view(replicas=9)).status == "passed"
