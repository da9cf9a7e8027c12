# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What nginx is told; an integration test shows that nginx does it."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.plugin_utils.balancer.nginx_config import render

POOLS = [
    {"service": "litellm", "servers": [{"address": "192.0.2.1:4000"}, {"address": "[fd00::2]:1"}]},
    {"service": "gateway", "servers": [{"address": "192.0.2.1:8080"}]},
]
SETTINGS = {
    "name": "llm.example.internal",
    "certificate": "/etc/ssl/llm.crt",
    "key": "/etc/ssl/llm.key",
    "timeout_seconds": 900,
    "connect_seconds": 2,
    "body_mb": 64,
}


def test_the_one_timeout_stands_everywhere():
    text = render(POOLS, SETTINGS)
    for name in ("proxy_read_timeout", "proxy_send_timeout", "send_timeout"):
        assert f"    {name} 900s;\n" in text


def test_every_replica_is_named():
    text = render(POOLS, SETTINGS)
    assert "server 192.0.2.1:4000 " in text and "server [fd00::2]:1 " in text


def test_calls_are_never_sent_twice():
    text = render(POOLS, SETTINGS)
    assert "proxy_next_upstream error timeout;" in text


def test_without_a_certificate_it_listens_in_plain():
    text = render(POOLS, {**SETTINGS, "certificate": "", "key": ""})
    assert "listen 80;" in text and "ssl" not in text and "return 308" not in text


@pytest.mark.parametrize(
    ("pools", "settings", "message"),
    [
        (POOLS[:1], {}, "no host of gateway"),
        (POOLS, {"key": ""}, "expected both"),
        (POOLS, {"paths": ["/v1/x; include /etc/passwd"]}, "load_balancer_paths"),
        (POOLS, {"operators": ["10.0.0.1/8"]}, "platform_operators_networks"),
        (POOLS, {"name": "x; include /etc/passwd"}, "platform_public_name"),
    ],
)
def test_what_makes_no_configuration_is_one_sentence(pools, settings, message):
    with pytest.raises(Unusable, match=message):
        render(pools, {**SETTINGS, **settings})


def test_the_page_for_people_is_served_where_there_is_one():
    portal = {"service": "portal", "servers": [{"address": "192.0.2.1:8090"}]}
    text = render([*POOLS, portal], SETTINGS)
    for location in ("= /portal", "^~ /portal/"):
        assert f"location {location} {{\n        proxy_pass http://intranet_mcp_portal;" in text
    assert "portal" not in render(POOLS, SETTINGS)
    registering = render([*POOLS, portal], {**SETTINGS, "has_registration": True})
    assert "location = /.well-known/oauth-authorization-server/portal {" in registering
    assert "oauth-authorization-server" not in text
