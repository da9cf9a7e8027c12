# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Inventories that make no monitoring."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.problems import problems

NO_PAGES = {"networks": [], "tls": False}


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ({}, []),
        ({"monitoring": ["one"], "grafana": ["two", "three"]}, []),
        ({"monitoring": ["one", "two"]}, ["group monitoring has 2 hosts (one, two)"]),
        ({"grafana": ["one"]}, ["group grafana has one, and group monitoring no host"]),
        (
            {"dcgm_exporter": ["one"]},
            ["group dcgm_exporter has one, and group monitoring no host"],
        ),
    ],
)
def test_one_host_measures_and_grafana_shows_what_it_measures(groups, found):
    assert [problem.found for problem in problems(groups, NO_PAGES, [], {})] == found


@pytest.mark.parametrize(
    ("groups", "networks", "tls", "found"),
    [
        ({"monitoring": ["a"], "load_balancer": ["b"]}, ["10.1.2.0/24", "fd00::/8"], True, []),
        ({"monitoring": ["a"]}, ["10.1.2.0/24"], True, ["group load_balancer has no host"]),
        ({"load_balancer": ["a"]}, ["10.1.2.0/24"], True, ["group monitoring has no host"]),
        (
            {"monitoring": ["a"], "load_balancer": ["b"]},
            ["10.1.2.3/24"],
            False,
            ["has the network '10.1.2.3/24'", "platform_balancer_tls is false"],
        ),
    ],
)
def test_pages_need_a_balancer_with_tls_and_somebody_who_may_open_them(
    groups, networks, tls, found
):
    told = problems(groups, {"networks": networks, "tls": tls}, [], {})
    assert len(told) == len(found)
    for problem, words in zip(told, found, strict=True):
        assert words in problem.found and problem.action


def test_a_receiver_without_a_way_is_found_before_anything_changes():
    receivers = [{"name": "duty"}, {"name": "ok", "webhook": "https://x/"}]
    (said,) = problems({}, NO_PAGES, receivers, {})
    assert said.found == "prometheus_receivers: duty has neither webhook nor email nor a robot"
    assert said.action == "add one of them"


def test_a_siem_that_cannot_be_used_is_found_before_anything_changes():
    (said,) = problems({}, NO_PAGES, [], {"host": "siem.example.internal"})
    assert (said.check, said.found) == ("inventory", "logs_siem has no ca")
    assert said.action == "add ca"
