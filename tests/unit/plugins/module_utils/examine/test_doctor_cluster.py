# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the doctor says of clusters of data."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import doctor
from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor_cluster import RULES

LEADER = {"name": "a", "role": "leader", "state": "running"}
FOLLOWER = {"name": "b", "role": "sync_standby", "state": "streaming", "lag": 0}
VIEW = ["ip", "192.0.2.1", "port", "6379", "flags", "master"]
VIEW += ["num-slaves", "2", "num-other-sentinels", "2"]
SERVICES = {name: {"role": name} for name in ("etcd", "postgres", "redis_sentinel", "redis")}
WELL = {
    "engine": {"version": "26"},
    "etcd": {"status": 0, "stderr": ""},
    "patroni": {"members": [LEADER, FOLLOWER]},
    "sentinel": VIEW,
    "redis": {"is_primary": True, "replicas": 2},
}


def diagnose(services=SERVICES, **broken):
    wanted = {"services": services, "container_prefix": "intranet-"}
    return doctor.diagnose({**WELL, **broken}, wanted, RULES)


def view(**changed):
    fields = dict(zip(VIEW[::2], VIEW[1::2], strict=True))
    fields.update({key.replace("_", "-"): value for key, value in changed.items()})
    return [word for pair in fields.items() for word in pair]


def test_clusters_that_are_well_have_no_findings():
    assert diagnose() == {"findings": [], "unseen": []}


def test_a_host_without_a_cluster_is_not_asked_for_one():
    alone = {"postgres": {"role": "postgres"}, "redis": {"role": "redis"}}
    nothing = {"etcd": None, "patroni": None, "sentinel": None}
    assert diagnose(alone, **nothing) == {"findings": [], "unseen": []}


@pytest.mark.parametrize(
    ("broken", "found", "service"),
    [
        ({"etcd": {"status": 1, "stderr": "x\nno leader"}}, "majority, so no Postgre", "etcd"),
        ({"patroni": {"members": [FOLLOWER]}}, "no primary: b (sync_standby", "postgres"),
        (
            {"patroni": {"members": [LEADER, {**FOLLOWER, "lag": 99 << 20}]}},
            "b (sync_standby, streaming, 101376 KiB behind) does not keep up",
            "postgres",
        ),
        (
            {"patroni": {"members": [LEADER, {**FOLLOWER, "state": "start failed"}]}},
            "start failed",
            "postgres",
        ),
        ({"sentinel": view(flags="master,s_down,o_down")}, "is master, s_down", "redis_sentinel"),
        ({"redis": {"is_primary": True, "replicas": 0}}, "takes no writes", "redis"),
    ],
)
def test_each_symptom_has_one_finding(broken, found, service):
    (finding,) = diagnose(**broken)["findings"]
    assert found in finding["found"]
    assert (finding["check"], finding["service"]) == ("cluster", service)
    assert finding["expected"] and finding["action"]


def test_what_does_not_answer_is_not_looked_at():
    nothing = {"etcd": None, "patroni": None, "redis": None}
    unseen = diagnose(**nothing, sentinel=["ERR no such master"])["unseen"]
    assert [check["check"] for check in unseen] == [name for name, _rule in RULES]
