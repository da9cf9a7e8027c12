# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import multiprocessing

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import (
    host_addresses,
    host_names,
    topology_from,
)

FACTS = {
    "default_ipv4": {"address": "192.0.2.7"},
    "default_ipv6": {"address": "fd00::7"},
    "fqdn": "one.example.internal",
    "hostname": "one",
}


def as_is(value):
    return value


@pytest.mark.parametrize(
    ("hostvars", "expected"),
    [
        ({"platform_address": "192.0.2.1", "ansible_host": "192.0.2.2"}, ["192.0.2.1"]),
        ({"platform_address": ["192.0.2.1", "fd00::1"]}, ["192.0.2.1", "fd00::1"]),
        (
            {"ansible_host": "192.0.2.2", "ansible_facts": FACTS},
            ["192.0.2.2", "192.0.2.7", "fd00::7"],
        ),
        (
            {"ansible_host": "one.example.internal", "ansible_facts": FACTS},
            ["192.0.2.7", "fd00::7"],
        ),
        ({"ansible_host": "192.0.2.7", "ansible_facts": FACTS}, ["192.0.2.7", "fd00::7"]),
        ({}, []),
    ],
)
def test_the_address_that_was_set_wins_over_what_ansible_knows(hostvars, expected):
    assert host_addresses(hostvars, as_is) == expected


def test_a_host_is_known_by_the_names_it_gives_itself():
    hostvars = {"ansible_host": "203.0.113.9", "ansible_facts": FACTS}
    assert host_names(hostvars, as_is) == ["203.0.113.9", "one.example.internal", "one"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("10.0.0.10/24", ["10.0.0.10/24"]),
        (["10.0.0.10/24", "fd00::10/64"], ["10.0.0.10/24", "fd00::10/64"]),
        ("", []),
        ([], []),
    ],
)
def test_one_shared_address_needs_no_list(given, expected):
    variables = {"platform_balancer_address": given}
    assert topology_from(variables, as_is).shared == expected


def test_only_hosts_of_the_platform_need_an_address():
    variables = {
        "platform_services": {"litellm": {"group": "litellm", "port": 4000, "clients": ["users"]}},
        "platform_mcp_servers": {},
        "platform_users_networks": ["10.0.0.0/8"],
        "groups": {"litellm": ["one"], "others": ["two"]},
        "hostvars": {"one": {"ansible_host": "192.0.2.1"}},
    }
    found = topology_from(variables, as_is)
    assert found.addresses == {"one": ["192.0.2.1"]}
    assert found.flows("one")[0].sources == ("10.0.0.0/8",)


def test_a_worker_asks_once_and_the_process_it_came_from_each_time():
    asked = []

    def template(value):
        asked.append(value)
        return value

    variables = {"inventory_hostname": "one", "platform_container_prefix": "first-"}
    topology_from(variables, template)
    once = len(asked)
    topology_from(variables, template)
    assert len(asked) == 2 * once

    def work(answers):
        known = [topology_from(variables, template) for _ in range(3)]
        answers.put((len(asked) - 2 * once, known[0] is known[2]))

    forking = multiprocessing.get_context("fork")
    answers = forking.SimpleQueue()
    worker = forking.Process(target=work, args=[answers])
    worker.start()
    worker.join(30)
    assert worker.exitcode == 0
    assert answers.get() == (once, True)


def test_a_cluster_is_not_known_by_what_the_control_node_is_called():
    hostvars = {"ansible_facts": FACTS, "group_names": ["kubernetes", "litellm"]}
    assert host_addresses(hostvars, as_is) == []
    assert host_names(hostvars, as_is) == []


def test_what_a_site_says_of_servers_elsewhere_and_of_its_operator_is_known():
    catalog = {
        "postgres": {"group": "postgres", "port": 5432, "clients": ["litellm"]},
        "redis": {"group": "redis", "port": 6379, "clients": ["litellm"]},
        "litellm": {"group": "litellm", "port": 4000},
    }
    variables = {
        "platform_services": catalog,
        "platform_redis": {"host": "redis.example.internal", "networks": ["10.20.0.0/24"]},
        "platform_database": "a text by mistake",
        "groups": {group: ["cluster"] for group in ("postgres", "redis", "litellm", "kubernetes")},
        "hostvars": {"cluster": {"kubernetes_postgres": {"operator": "cloudnative_pg"}}},
    }
    found = topology_from(variables, as_is)
    assert str(found.endpoint("postgres", "cluster")) == "postgres-rw:5432"
    assert str(found.endpoint("redis", "cluster")) == "redis.example.internal:6379"
    assert found.services["litellm"].egress == ("10.20.0.0/24:6379",)
