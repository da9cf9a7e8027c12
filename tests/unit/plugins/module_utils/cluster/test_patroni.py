# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What Patroni says of its cluster, read and judged."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.cluster import patroni
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unexpected

LEADER = {"name": "b", "role": "leader", "state": "running", "timeline": 1}
STANDBY = {"name": "a", "role": "sync_standby", "state": "streaming", "lag": 0}


def cluster(*members):
    return patroni.read_cluster({"members": list(members), "scope": "postgres"})


def test_members_are_read_in_order():
    found = cluster(LEADER, STANDBY)
    assert str(found) == "a (sync_standby, streaming, no lag), b (leader, running)"
    assert [member.name for member in found.leaders] == ["b"]
    assert found.member("c") is None


@pytest.mark.parametrize(
    ("changed", "is_well", "is_close"),
    [
        ({}, True, True),
        ({"lag": 5 << 20}, True, False),
        ({"lag": "unknown"}, False, False),
        ({"state": "starting"}, False, False),
        ({"state": "running"}, False, False),  # it does not follow anybody
    ],
)
def test_a_replica_is_well_when_it_streams(changed, is_well, is_close):
    (member,) = cluster({**STANDBY, **changed}).members
    assert (member.is_well, member.is_within(1 << 20)) == (is_well, is_close)


def test_a_leader_is_well_when_it_runs():
    assert cluster(LEADER).members[0].is_within(0)
    assert not cluster({**LEADER, "state": "starting"}).members[0].is_well


@pytest.mark.parametrize("body", [None, [], {"members": [{"name": "a"}]}])
def test_another_answer_is_not_taken_for_a_cluster(body):
    with pytest.raises(Unexpected):
        patroni.read_cluster(body)


def test_only_settings_that_differ_are_sent():
    wanted = {"ttl": 20, "postgresql": {"use_slots": True, "parameters": {"max_connections": 200}}}
    present = {
        "ttl": 20,
        "maximum_lag_on_failover": 1,
        "postgresql": {"use_slots": True, "parameters": {"max_connections": "100", "x": 1}},
    }
    assert patroni.patch_of(wanted, present) == {
        "postgresql": {"parameters": {"max_connections": 200}}
    }
    assert patroni.patch_of(wanted, {**present, "postgresql": wanted["postgresql"]}) == {}
