# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight says of servers that keep data elsewhere: each mistake alone, in one sentence."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.action.preflight import authority
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import external_data
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.external import (
    external_problems,
    required_groups,
)
from platforms import SPREAD, catalog

TOLD = {"name": "litellm", "user": "litellm", "max_connections": 100}
DATABASE = {**TOLD, "host": "db.example.internal", "tls": False}
REDIS = {"host": "192.0.2.200", "tls": False}
WITHOUT = {**SPREAD, "postgres": [], "redis": [], "kubernetes": []}
HOSTS = ["app1", "app2", "data", "lb"]


def problems(folder="/none", **changes):
    variables = {
        "platform_database": DATABASE,
        "platform_redis": REDIS,
        "platform_secrets": {"postgres_password": "hidden", "redis_password": "hidden"},
        "platform_services": catalog(SPREAD),
        "groups": WITHOUT,
        "ansible_play_hosts_all": HOSTS,
        "hostvars": {host: {"platform_address": f"192.0.2.{i}"} for i, host in enumerate(HOSTS)},
        **changes,
    }
    return external_problems(variables, lambda value: value, authority, folder)


def test_what_is_declared_completely_is_good():
    assert problems() == []
    assert problems(platform_database=TOLD, platform_redis={}, platform_secrets={}) == []


def test_a_secret_that_is_empty_is_none():
    empty = {"postgres_password": "hidden", "redis_password": ""}  # of a variable that is not set
    (problem,) = problems(platform_secrets=empty)
    assert "there is no secret redis_password" in problem.found


def test_a_host_of_the_platform_is_known_by_each_of_its_addresses_and_names():
    own = {"ansible_host": "data.example.internal", "platform_address": ["192.0.2.9", "fd00::9"]}
    for said in ("data", "data.example.internal", "192.0.2.9", "fd00::9"):
        (problem,) = problems(
            hostvars=dict.fromkeys(HOSTS, own), platform_redis={**REDIS, "host": said}
        )
        assert "one of the platform's own hosts" in problem.found


def test_without_such_servers_no_host_is_looked_at():
    """Each look gathers all variables of that host, in every run."""
    own = {"platform_database": TOLD, "platform_redis": {}, "platform_secrets": {}}
    assert problems(hostvars=None, **own) == []
    assert problems(hostvars=None, **{**own, "platform_redis": {"port": 1}})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"platform_database": {**TOLD, "port": 5432}}, "platform_database has port and no host"),
        ({"platform_redis": {"ca_file": "/x"}}, "platform_redis has ca_file and no host"),
        ({"platform_database": {"host": "db", "tls": False}}, "has no name and user and max"),
        ({"platform_database": {"max_connections": 9}}, "platform_database has no name and user"),
        ({"groups": {**WITHOUT, "postgres": ["data"]}}, "and group postgres has data"),
        ({"platform_redis": {**REDIS, "host": "192.0.2.2"}}, "one of the platform's own hosts"),
        ({"platform_database": {**DATABASE, "host": "data"}}, "one of the platform's own hosts"),
        ({"platform_database": {**DATABASE, "port": "x"}}, "platform_database.port is 'x'"),
        ({"platform_database": {**DATABASE, "host": "any"}}, "platform_database.host has 'any'"),
        ({"platform_redis": {**REDIS, "networks": ["10.0.0.1/8"]}}, "platform_redis.networks has"),
        ({"platform_database": {**DATABASE, "tls": True}}, "has a host and no ca_file"),
        ({"platform_database": {**DATABASE, "ca_file": "/x"}}, "has ca_file and tls: false"),
        (
            {"platform_redis": {"host": "redis.example.internal", "ca_file": "/none.pem"}},
            "platform_redis.ca_file is /none.pem: No such file",
        ),
        (
            {"platform_secrets": {"redis_password": "hidden"}},
            "platform_database has a host, and there is no secret postgres_password",
        ),
    ],
)
def test_each_mistake_is_named_alone_with_what_to_do(changes, text):
    (problem,) = problems(**changes)
    assert text in problem.found
    assert problem.expected and problem.action and "hidden" not in str(problem)


def test_a_password_may_be_a_file_among_the_secrets(tmp_path):
    (tmp_path / "postgres_password").write_text("hidden")
    (problem,) = problems(str(tmp_path), platform_secrets={})
    assert "redis_password" in problem.found


def test_clients_in_a_cluster_may_have_it_in_a_secret_of_the_sites():
    groups = {**WITHOUT, "litellm": ["cluster"], "kubernetes": ["cluster"]}
    said = {"litellm": {"name": "from-vault"}}
    hosts = {
        "ansible_play_hosts_all": ["cluster"],
        "platform_redis": {},
        "platform_secrets": {},
        "groups": groups,
    }
    assert problems(hostvars={"cluster": {"kubernetes_secrets": said}}, **hosts) == []
    (problem,) = problems(hostvars={"cluster": {}}, **hosts)
    assert problem.check == "secrets"


def test_a_group_whose_server_is_elsewhere_needs_no_host():
    groups, said = ["postgres", "litellm"], {"platform_database": DATABASE}
    assert required_groups(groups, said, lambda value: value) == ["litellm"]
    assert required_groups(groups, {}, lambda value: value) == groups


def test_each_server_has_a_secret():
    assert {*external_data.SECRETS} == {*external_data.VARIABLES}
