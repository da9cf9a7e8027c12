# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The one address: models and tools behind it, over TLS, for people with a key."""

from __future__ import annotations

import http.client
import json
import ssl

import pytest
from hosts import APP1, BALANCER_RUN, LB, addresses, all_are_up, on
from mcp_messages import INITIALIZE

CHAT = {"model": "scripted", "messages": [{"role": "user", "content": "Count."}]}


def test_health_says_that_both_services_have_a_replica(client):
    answer = client.send("/health", key="")
    assert (answer.status, answer.body) == (200, {"status": "up"})
    assert all_are_up()


def test_the_openai_shape_is_answered(client):
    answer = client.send("/v1/chat/completions", CHAT)
    assert answer.body["choices"][0]["message"]["content"] == "One two three."


def test_the_anthropic_shape_is_answered(client):
    answer = client.send("/v1/messages", {**CHAT, "max_tokens": 16})
    assert answer.status == 200
    assert answer.body["content"][0]["text"] == "One two three."


def test_the_gemini_shape_is_answered(client):
    contents = [{"role": "user", "parts": [{"text": "Count."}]}]
    answer = client.send("/v1beta/models/scripted:generateContent", {"contents": contents})
    assert answer.status == 200
    assert answer.body["candidates"][0]["content"]["parts"][0]["text"] == "One two three."


@pytest.mark.parametrize("path", ["/mcp", "/servers/example/mcp"])
def test_tools_are_answered(client, path):
    assert client.send(path, INITIALIZE).body["result"]["serverInfo"]


def test_a_stream_arrives_as_it_is_made(client):
    """The end of the legacy stream is open, so that a buffer would hold all of it back."""
    connection = client.connect(20)
    connection.request("GET", "/sse", headers=client.headers(None, {}))
    stream = connection.getresponse()
    assert stream.status == 200
    assert stream.readline().startswith(b"event: endpoint")
    connection.close()


@pytest.mark.parametrize("key", ["", "sk-wrong"])
@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/mcp", INITIALIZE)])
def test_without_a_valid_key_nobody_answers(client, path, body, key):
    assert client.send(path, body, key=key).status in (400, 401)


def test_the_page_shows_the_one_address(client):
    answer = client.send("/", Accept="text/html")
    assert answer.status == 200
    assert f"https://{addresses()[LB]}/mcp" in answer.text


@pytest.mark.parametrize("path", ["/metrics", "/metrics/"])
def test_metrics_of_services_are_not_shown_to_people(client, path):
    assert client.send(path).status == 404


@pytest.mark.parametrize("path", ["/key/generate", "/team/list", "/ui", "/config/yaml", "/routes"])
def test_what_operators_do_is_refused_even_with_the_master_key(client, secrets, path):
    answer = client.send(path, key=secrets["litellm_master_key"])
    assert answer.status == 403
    assert "platform_operators_networks" in answer.text


def test_a_key_tells_its_owner_what_it_may_do(client):
    assert client.send("/key/info").body["info"]["key_alias"] == "first-developer"


@pytest.mark.parametrize("path", ["/%6dcp", "/mcp%0A", "/v1/../key/generate"])
def test_a_path_that_could_be_read_as_another_is_refused(client, path):
    assert client.send(path).status == 400


def test_browsers_are_told_to_stay_with_tls(client):
    assert client.send("/").headers["Strict-Transport-Security"].startswith("max-age=")


def test_the_balancers_own_metrics_count_its_servers():
    read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8404/metrics').read())"
    text = on(LB, f'python3 -c "{read}"')
    assert f'haproxy_server_status{{proxy="gateway",server="{APP1}",state="UP"}} 1' in text


def test_plain_http_is_sent_on_with_its_path():
    connection = http.client.HTTPConnection(addresses()[LB], timeout=10)
    connection.request("POST", "/v1/chat/completions?x=1", body=json.dumps(CHAT))
    answer = connection.getresponse()
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://{addresses()[LB]}/v1/chat/completions?x=1"


def test_old_tls_is_refused(client):
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    connection = http.client.HTTPSConnection(client.address, context=old, timeout=10)
    with pytest.raises(ssl.SSLError):
        connection.request("GET", "/health")


def test_a_key_in_a_query_is_not_logged(client):
    client.send("/v1beta/models?key=do-not-log-this")
    log = on(LB, "docker logs intranet-load_balancer 2>&1")
    assert "/v1beta/models" in log
    assert "do-not-log-this" not in log


def test_only_root_reaches_the_balancers_sockets():
    modes = on(LB, f"stat -c '%a %u' {BALANCER_RUN} {BALANCER_RUN}/admin.sock")
    assert modes.splitlines() == ["750 99", "600 99"]
