# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the doctor says of clusters of data."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import read_cluster
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.redis import Member, View
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Said
from ansible_collections.intranet.mcp.plugins.module_utils.examine import doctor
from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor_cluster import RULES
from ansible_collections.intranet.mcp.plugins.module_utils.examine.redis import Server

LEADER = {"name": "a", "role": "leader", "state": "running"}
FOLLOWER = {"name": "b", "role": "sync_standby", "state": "streaming", "lag": 0}
VIEW = View("192.0.2.1:6379", ("master",), 2, 3)
SERVICES = {name: {"role": name} for name in ("etcd", "postgres", "redis_sentinel", "redis")}
WELL = {
    "engine": {"version": "26"},
    "etcd": Said(0, "", "", ""),
    "patroni": read_cluster({"members": [LEADER, FOLLOWER]}),
    "sentinel": VIEW,
    "redis": Server(member=Member("primary", "", True, 2)),
}


def diagnose(services=SERVICES, **broken):
    wanted = {"services": services, "container_prefix": "intranet-"}
    return doctor.diagnose({**WELL, **broken}, wanted, RULES)


def test_clusters_that_are_well_have_no_findings():
    assert diagnose() == {"findings": [], "unseen": []}


def test_a_host_without_a_cluster_is_not_asked_for_one():
    alone = {"postgres": {"role": "postgres"}, "redis": {"role": "redis"}}
    nothing = {"etcd": None, "patroni": None, "sentinel": None}
    assert diagnose(alone, **nothing) == {"findings": [], "unseen": []}


@pytest.mark.parametrize(
    ("broken", "found", "service"),
    [
        ({"etcd": Said(1, "", "x\nno leader", "")}, "majority, so no Postgre", "etcd"),
        (
            {"patroni": read_cluster({"members": [FOLLOWER]})},
            "no primary: b (sync_standby",
            "postgres",
        ),
        (
            {"patroni": read_cluster({"members": [LEADER, {**FOLLOWER, "lag": 99 << 20}]})},
            "b (sync_standby, streaming, 101376 KiB behind) does not keep up",
            "postgres",
        ),
        (
            {"patroni": read_cluster({"members": [LEADER, {**FOLLOWER, "state": "start failed"}]})},
            "start failed",
            "postgres",
        ),
        (
            {"sentinel": dataclasses.replace(VIEW, flags=("master", "s_down", "o_down"))},
            "is master, s_down",
            "redis_sentinel",
        ),
        ({"redis": Server(member=Member("primary", "", True, 0))}, "takes no writes", "redis"),
    ],
)
def test_each_symptom_has_one_finding(broken, found, service):
    (finding,) = diagnose(**broken)["findings"]
    assert found in finding["found"]
    assert (finding["check"], finding["service"]) == ("cluster", service)
    assert finding["expected"] and finding["action"]


def test_what_does_not_answer_is_not_checked():
    unseen = diagnose(etcd=None, patroni=None, redis=None, sentinel=None)["unseen"]
    assert [check["check"] for check in unseen] == [name for name, _rule in RULES]
