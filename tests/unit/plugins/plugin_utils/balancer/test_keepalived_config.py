# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What keepalived is told; an integration test shows that it moves the address accordingly."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.balancer.keepalived_config import render

SHARING = {
    "address": "192.0.2.1",
    "peers": ["192.0.2.2", "192.0.2.3"],
    "priority": 100,
    "addresses": ["192.0.2.10/24"],
    "excluded": ["fd00::10/64"],
}


@pytest.fixture
def lines():
    found = render(SHARING, {"router_id": 77, "alive_port": 8404})
    return [line.strip() for line in found.splitlines()]


def test_nobody_takes_the_address_from_a_holder_that_is_well(lines):
    assert "state BACKUP" in lines and "nopreempt" in lines


def test_adverts_go_to_the_peers_alone_and_are_taken_from_them_alone(lines):
    begin = lines.index("unicast_peer {")
    assert lines[begin + 1 : begin + 4] == ["192.0.2.2", "192.0.2.3", "}"]
    assert "vrrp_check_unicast_src" in lines
    assert "virtual_router_id 77" in lines


def test_haproxy_itself_is_asked(lines):
    assert 'script "/usr/local/bin/haproxy-answers 8404"' in lines
    assert lines[lines.index("track_script {") + 1] == "haproxy"


def test_addresses_of_both_families_move_together(lines):
    assert lines[lines.index("virtual_ipaddress {") + 1] == "192.0.2.10/24"
    # Deprecated, so that nothing goes out from it that other hosts' firewalls do not know.
    excluded = lines[lines.index("virtual_ipaddress_excluded {") + 1]
    assert excluded == "fd00::10/64 preferred_lft 0"


def test_one_family_has_no_empty_block():
    text = render({**SHARING, "excluded": []}, {"router_id": 1, "alive_port": 1})
    assert "excluded" not in text
    assert text.count("{") == text.count("}")
