# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which hosts may be a cluster, and in which order its members are brought in line."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.plugin_utils.cluster import decisions as clusters

BALANCED = {"load_balancer": ["lb"]}


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_one_host_or_an_odd_number_is_a_cluster(count):
    groups = {**BALANCED, "postgres": list(range(count)), "redis": list(range(count))}
    assert clusters.problems(groups) == []


@pytest.mark.parametrize("count", [2, 4])
def test_an_even_number_is_refused_in_one_error(count):
    (problem,) = clusters.problems({**BALANCED, "postgres": list(range(count))})
    assert f"group postgres has {count} hosts" in problem.found
    assert problem.expected == "1 host, or an odd number of at least 3"
    assert "group postgres" in problem.action


def test_a_cluster_without_a_balancer_is_refused():
    (problem,) = clusters.problems({"redis": ["a", "b", "c"]})
    assert "nobody leads clients to its primary" in problem.found


def test_a_balancer_that_cannot_ask_who_leads_is_refused():
    (problem,) = clusters.problems({**BALANCED, "redis": ["a", "b", "c"]}, "traefik")
    assert "load_balancer_engine is traefik" in problem.found


def member(role="", data="none", has_begun=False):
    return {"role": role, "data": data, "has_begun": has_begun}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"a": member(), "b": member(), "c": member()}, "abc"),
        ({"a": member(), "b": member(data="primary"), "c": member()}, "bac"),
        ({"a": member("primary"), "b": member("replica"), "c": member("replica")}, "bca"),
        ({"a": member("primary", "primary", True), "b": member(), "c": member("replica")}, "cba"),
        # All of them stopped, after a failover that the old primary did not survive.
        (
            {
                "a": member("", "primary", True),
                "b": member("", "replica", True),
                "c": member("", "primary", True),
            },
            "acb",
        ),
    ],
)
def test_data_comes_first_when_it_begins_and_the_primary_last_ever_after(members, expected):
    assert "".join(clusters.order(members, "postgres")) == expected


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"a": member(data="primary"), "b": member(data="primary"), "c": member()}, "on a, b"),
        ({"a": member(data="replica"), "b": member(), "c": member()}, "only replicas' data"),
    ],
)
def test_a_cluster_does_not_begin_where_it_is_unclear_whose_data_counts(members, text):
    with pytest.raises(Unusable, match=text):
        clusters.order(members, "postgres")


@pytest.mark.parametrize(
    ("members", "host", "expected"),
    [
        ({"a": member(), "b": member(), "c": member()}, "a", 1),
        ({"a": member(), "b": member(), "c": member()}, "c", 3),
        ({"a": member("replica"), "b": member("primary"), "c": member()}, "a", 2),
        ({}, "a", 1),
    ],
)
def test_a_member_waits_for_those_that_are_there_or_came_before(members, host, expected):
    assert clusters.there(members, list(members), host) == expected


LISTED = """\
1, started, a, https://192.0.2.1:2380, https://192.0.2.1:2379, false
2, started, b, https://192.0.2.2:2380, https://192.0.2.2:2379, false
3, started, old, https://192.0.2.9:2380, https://192.0.2.9:2379, false
4, {}, c, https://192.0.2.3:2380, https://192.0.2.3:2379, false
"""
PEERS = [f"https://192.0.2.{n}:2380" for n in (1, 2, 3)]


def test_etcd_deregisters_a_host_that_left_once_all_others_are_there():
    assert clusters.etcd_departed(LISTED.format("started"), PEERS) == ["3"]
    assert clusters.etcd_departed(LISTED.format("unstarted"), PEERS) == []
    assert clusters.etcd_departed("", PEERS) == []
