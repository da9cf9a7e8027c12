# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.firewall.nftables import (
    render,
    replacing,
    ssh_server_port,
)


def flow(port=8080, sources=("10.0.0.0/8",), proto="tcp"):
    return {"service": "web", "port": port, "proto": proto, "sources": list(sources)}


NETWORK = {
    "name": "net-tools",
    "interface": "br",
    "egress": [],
    "flows": [],
    "here": [],
    "closed": {"addresses": [], "ports": []},
}


def rules(flows=(), managed=(8080,), ssh=(22,), networks=(NETWORK,)):
    text = render(list(flows), list(managed), list(ssh), list(networks), "t")
    return [line.strip() for line in text.splitlines()]


def test_ssh_is_accepted_before_anything_is_dropped_even_if_it_is_a_managed_port():
    lines = rules(managed=[22, 8080])
    ssh = lines.index('tcp dport { 22 } accept comment "SSH is never filtered"')
    assert ssh < lines.index("tcp dport { 22, 8080 } counter drop")


def test_a_container_reaches_ssh_and_published_ports_no_more_than_anything_else_of_the_host():
    lines = rules()
    jump = 'iifname vmap { "br" : jump from-br }'
    assert lines.index(jump) < lines.index(
        'tcp dport { 22 } accept comment "SSH is never filtered"'
    )
    assert lines.index(jump) > lines.index("ct state established,related accept")


def test_overlapping_sources_are_collapsed_because_nft_refuses_them():
    line = 'tcp dport 8080 ip saddr { 10.0.0.0/8, 192.168.1.7/32 } accept comment "web"'
    assert line in rules([flow(sources=["10.1.2.3", "10.0.0.0/8", "192.168.1.7"])])


def test_both_families_get_a_rule_of_their_own():
    lines = rules([flow(sources=["10.0.0.0/8", "fd00::/8"])])
    assert 'tcp dport 8080 ip6 saddr { fd00::/8 } accept comment "web"' in lines
    assert 'tcp dport 8080 ip saddr { 10.0.0.0/8 } accept comment "web"' in lines


def test_any_opens_the_port_without_a_source():
    assert 'tcp dport 8080 accept comment "web"' in rules([flow(sources=["any", "10.0.0.1"])])


def test_a_port_nobody_may_reach_is_only_dropped():
    lines = rules([flow(sources=[])], networks=[])
    assert [line for line in lines if "8080" in line] == ["tcp dport { 8080 } counter drop"]


def test_udp_is_closed_only_where_a_flow_speaks_it():
    lines = rules([flow(port=53, proto="udp")])
    assert "udp dport { 53 } counter drop" in lines
    assert "tcp dport { 8080 } counter drop" in lines


def test_vrrp_is_accepted_from_the_peers_alone():
    lines = rules([flow(port=0, proto="vrrp", sources=["192.0.2.2/32", "fd00::2/128"])])
    accepted = 'meta l4proto 112 ip saddr { 192.0.2.2/32 } accept comment "web"'
    assert 'meta l4proto 112 ip6 saddr { fd00::2/128 } accept comment "web"' in lines
    assert lines.index(accepted) < lines.index("meta l4proto 112 counter drop")


def test_vrrp_of_hosts_that_share_no_address_of_ours_is_left_alone():
    assert not [line for line in rules([flow()]) if "112" in line]


def test_a_host_without_managed_ports_drops_nothing():
    assert not [line for line in rules(managed=[], networks=[]) if line.endswith("drop")]


def test_the_script_never_flushes_and_replaces_only_its_own_table():
    text = replacing("t", "")
    assert text == "table inet t\ndelete table inet t\n"
    assert "flush" not in render([flow()], [8080], [22], [], "t")


@pytest.mark.parametrize("source", ["10.0.0.0/33", "users", "10.0.0.1/8", ""])
def test_a_source_that_is_no_network_names_service_and_remedy(source):
    with pytest.raises(Unusable) as error:
        rules([flow(sources=[source])])
    assert repr(source) in str(error.value)
    assert "platform_users_networks" in str(error.value)


@pytest.mark.parametrize(
    ("environments", "port"),
    [
        ([], 0),
        (["HOME=/root\0", "A=1\0SSH_CONNECTION=10.0.0.9 51022 10.0.0.5 2222\0"], 2222),
        (["SSH_CONNECTION=broken\0"], 0),
    ],
)
def test_the_port_ansible_came_in_by_is_found_above_become(environments, port):
    assert ssh_server_port(environments) == port
