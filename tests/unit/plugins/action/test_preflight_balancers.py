# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Several balancers need an address to share, which is found before anything changes."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.action.preflight import check_balancers
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology

ADDRESSES = {"lb1": ["192.0.2.1"], "lb2": ["192.0.2.2"], "app1": ["192.0.2.3"]}


def topology(*balancers, shared=()):
    groups = {"load_balancer": list(balancers), "litellm": ["app1"]}
    return Topology({}, groups, ADDRESSES, shared=list(shared))


def test_one_balancer_needs_no_address():
    check_balancers(topology("lb1"), "lb1")
    check_balancers(topology("lb1", "lb2", shared=["192.0.2.10/24"]), "lb2")


@pytest.mark.parametrize(
    ("shared", "found"), [((), "has 2 hosts"), (["192.0.2.10"], "has '192.0.2.10'")]
)
def test_two_balancers_that_cannot_share_are_found_at_a_balancer(shared, found):
    wrong = topology("lb1", "lb2", shared=shared)
    with pytest.raises(TopologyError) as error:
        check_balancers(wrong, "lb1")
    assert found in error.value.found and error.value.action
    check_balancers(wrong, "app1")  # said once, not by every host
