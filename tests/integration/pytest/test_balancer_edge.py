# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What people must not reach through the balancer, and requests that say two things at once."""

from __future__ import annotations

import os

import pytest
from conftest import wait_until
from servers.balancer import (
    AMBIGUOUS_PATHS,
    OPERATORS_PATHS,
    PORTS,
    Replica,
    exchange,
    raw_status,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="the balancer's directory is closed to others"),
]

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
HIDDEN_REQUEST = b"GET /key/generate HTTP/1.1\r\nHost: x\r\n\r\n"
# The same bytes are the end of one request, or one of their own, by whom is asked. One that the
# balancer sees is answered by itself.
SMUGGLED = {
    "length and chunks": CHAT
    + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    % (5 + len(HIDDEN_REQUEST)),
    "two lengths": CHAT + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN_REQUEST),
    "a list of lengths": CHAT + b"Content-Length: 0, %d\r\n\r\n" % len(HIDDEN_REQUEST),
    "a signed length": CHAT + b"Content-Length: +%d\r\n\r\n" % len(HIDDEN_REQUEST),
    "a space before the colon": CHAT + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunks in other words": CHAT + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a folded header": CHAT + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a null in a header": CHAT + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "chunks of a negative size": CHAT + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
}


@pytest.fixture
def gateway(docker):
    made = Replica(docker.gateway(), "tools")
    yield made
    made.close()


@pytest.fixture
def start(start_balancer, replicas, gateway):
    def run(**settings):
        return start_balancer({"litellm": replicas, "gateway": [gateway]}, **settings)

    return run


def place(balancer, port="public"):
    host, _colon, number = balancer.docker.address(balancer.container, PORTS[port]).rpartition(":")
    return host, int(number)


def test_what_operators_do_is_refused_to_people(start, replicas, gateway):
    balancer = start()
    for path in OPERATORS_PATHS:
        assert balancer.get(path)[0] == 403, path
        assert raw_status(*place(balancer, "inside"), path) == 200, "the platform's own hosts"
    assert balancer.get("/v1/models")[1] in ("app1", "app2")
    assert balancer.get("/servers/example/mcp")[1] == "tools"


def test_operators_have_it_from_their_networks(start, docker):
    balancer = start(operators=[f"{docker.gateway()}/32"])
    for path in OPERATORS_PATHS:
        assert balancer.get(path)[1] in ("app1", "app2"), path
    assert balancer.get("/metrics")[0] == 404, "nobody"


def test_a_site_opens_a_path_of_its_own(start):
    balancer = start(paths=["/v1/ocr"])
    assert balancer.get("/v1/ocr")[0] == balancer.get("/v1/ocr/x")[0] == 200
    assert balancer.get("/v1/ocrx")[0] == 403


def test_a_path_that_could_be_read_as_another_is_refused_or_put_in_order(start, replicas, gateway):
    """HAProxy refuses all of them. Traefik puts some in order before it compares them."""
    balancer = start()
    wait_until(lambda: balancer.is_ready("app1"), 20, "first checks")
    for path in AMBIGUOUS_PATHS:
        status = raw_status(*place(balancer), path)
        seen = {replica.last[0] for replica in (*replicas, gateway)} - {""}
        assert seen <= ({"/mcp"} if balancer.engine.name == "traefik" else set()), path
        assert status in ({400} if balancer.engine.name == "haproxy" else {200, 400, 403, 404}), (
            path
        )


@pytest.mark.parametrize("name", SMUGGLED)
def test_a_request_does_not_hide_another(start, replicas, gateway, name):
    balancer = start()
    wait_until(lambda: balancer.is_ready("app1"), 20, "first checks")
    exchange(*place(balancer), SMUGGLED[name] + HIDDEN_REQUEST)
    reached = [replica.last[0] for replica in (*replicas, gateway)]
    assert "/key/generate" not in reached


def test_another_protocol_does_not_pass_by(start, replicas):
    balancer = start()
    wait_until(lambda: balancer.is_ready("app1"), 20, "first checks")
    asked = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    asked += b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    assert exchange(*place(balancer), asked).startswith(b"HTTP/1.1 200")
    (seen,) = [replica.last[1] for replica in replicas if replica.requests]
    assert "h2c" not in str(seen["Upgrade"])
    assert seen["HTTP2-Settings"] is None
