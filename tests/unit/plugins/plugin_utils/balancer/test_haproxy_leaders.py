# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The balancer's way to the primary, as HAProxy reads it."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.balancer.haproxy_leaders import render


def leader(**changed):
    server = {"name": "data 1", "address": "192.0.2.1:5432", "is_name": False, "check_port": 8008}
    found = {"service": "postgres", "port": 15432, "path": "/primary", "servers": [server]}
    return {**found, **changed}


def test_without_a_primary_among_several_there_is_nothing_to_say():
    assert render([]) == ""


def test_patroni_is_asked_on_its_own_port():
    text = render([leader()])
    assert "listen postgres from leaders\n    bind :15432\n" in text
    assert "http-check send meth GET uri /primary" in text
    assert "    server data_1 192.0.2.1:5432 port 8008\n" in text
    assert "on-marked-down shutdown-sessions" in text, "nobody goes on with an old primary"
    assert "resolvers" not in text


def test_a_member_beside_the_balancer_is_looked_up_by_name():
    server = {"name": "a", "address": "intranet-postgres:5432", "is_name": True, "check_port": 8008}
    text = render([leader(servers=[server])])
    assert "resolvers leaders\n    nameserver engine 127.0.0.11:53" in text
    assert "server a intranet-postgres:5432 port 8008 resolvers leaders" in text


def test_redis_is_asked_itself_and_with_no_secret():
    server = {"name": "a", "address": "192.0.2.1:6379", "is_name": False, "check_port": 0}
    text = render([leader(service="redis", port=16379, path="", servers=[server])])
    assert r'tcp-check send "ROLE\r\n"' in text
    assert "    server a 192.0.2.1:6379\n" in text
    assert "httpchk" not in text
