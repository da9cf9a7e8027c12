# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine.ports import port_problems

WEB = {"web": {"port": 8080, "publish": ["0.0.0.0"]}}
LOCAL = {"web": {"port": 8080, "publish": ["127.0.0.1"]}}


def listener(address="0.0.0.0", port=8080, holder="nginx (process 7)", container=""):
    return {"address": address, "port": port, "holder": holder, "container": container}


def container(name, port):
    return {"Names": [f"/{name}"], "Ports": [{"PublicPort": port}, {"PrivatePort": 1}]}


@pytest.mark.parametrize(
    ("services", "listeners", "containers", "holder"),
    [
        (WEB, [], [], None),
        (WEB, [listener()], [], "nginx (process 7)"),
        (WEB, [listener("10.0.0.5")], [], "nginx (process 7)"),
        (LOCAL, [listener("10.0.0.5")], [], None),
        (LOCAL, [listener("::1")], [], "nginx (process 7)"),
        (LOCAL, [listener("::")], [], "nginx (process 7)"),
        (WEB, [listener(holder="docker-proxy")], [container("intranet-web", 8080)], None),
        (WEB, [listener(container="intranet-web")], [], None),
        (WEB, [], [container("other", 8080)], "container other"),
        (WEB, [listener(port=9090)], [container("other", 9090)], None),
        ({"web": {"port": 8080, "publish": []}}, [listener()], [], None),
    ],
)
def test_a_port_is_taken_by_anybody_but_us(services, listeners, containers, holder):
    found = [p.found for p in port_problems("ports", services, listeners, containers, "intranet-")]
    assert found == ([f"port 8080 is held by {holder}"] if holder else [])
