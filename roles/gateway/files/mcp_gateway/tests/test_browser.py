"""Pages in browsers (CORS), and a company proxy that shows the gateway under a path of its own."""

from __future__ import annotations

import pytest
from support import KEY, Legacy, Modern, gateway, next_message, plain, sha256, text_of

OK, FOREIGN = "https://ok.example", "https://evil.example"
LISTEN = {"allowed_origins": [OK]}
AUTH = {"static_keys": [{"alias": "ada", "sha256": sha256(KEY)}]}
PUBLIC = "https://host.example/tools"
METADATA = "/.well-known/oauth-protected-resource"


def preflight(origin, headers="authorization, content-type, mcp-session-id, x-evil"):
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": headers,
    }


def words(text):
    return {word.strip().lower() for word in text.split(",")}


@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp", "/sse", METADATA + "/mcp"])
async def test_a_page_of_an_allowed_origin_may_call(path):
    async with gateway({"one": plain()}, listen=LISTEN, auth=AUTH) as gw:
        answer = await gw.http.options(path, headers=preflight(OK))
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == OK
        assert {"post", "get", "delete"} <= words(answer.headers["access-control-allow-methods"])
        allowed = words(answer.headers["access-control-allow-headers"])
        assert allowed == {"authorization", "content-type", "mcp-session-id"}
        assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_reads_its_session_and_how_to_log_in():
    async with gateway({"one": plain()}, listen=LISTEN, auth=AUTH) as gw:
        await gw.up()
        client = Legacy(gw, key=KEY)
        client.headers["origin"] = OK
        answer = await client.send("initialize", {"protocolVersion": "2025-11-25"})
        assert answer.headers["access-control-allow-origin"] == OK
        assert answer.headers["vary"] == "origin"
        exposed = words(answer.headers["access-control-expose-headers"])
        assert {"mcp-session-id", "www-authenticate"} <= exposed
        del client.headers["authorization"]
        refused = await client.send("tools/list")
        assert refused.status_code == 401 and "www-authenticate" in refused.headers
        assert refused.headers["access-control-allow-origin"] == OK
        document = await gw.http.get(METADATA + "/mcp", headers={"origin": OK})
        assert document.headers["access-control-allow-origin"] == OK


async def test_a_page_of_another_origin_gets_nothing():
    async with gateway({"one": plain()}, listen=LISTEN, auth=AUTH) as gw:
        asked = await gw.http.options("/mcp", headers=preflight(FOREIGN))
        sent = await gw.http.post("/mcp", json={}, headers={"origin": FOREIGN})
        seen = await gw.http.get("/health", headers={"origin": FOREIGN})
        rebound = await gw.http.options("/mcp", headers={**preflight(OK), "host": "evil.example"})
        assert [asked.status_code, sent.status_code] == [403, 403]
        assert rebound.status_code == 421
        for answer in (asked, sent, seen, rebound):
            assert not [h for h in answer.headers if h.startswith("access-control")]
        plain_options = await gw.http.options("/mcp", headers={"authorization": f"Bearer {KEY}"})
        assert plain_options.status_code == 405


async def test_any_origin_may_be_allowed_and_parameters_have_headers_of_their_own():
    async with gateway({"one": plain()}, listen={"allowed_origins": ["*"]}) as gw:
        asked = preflight(FOREIGN, "Mcp-Param-Region, Mcp-Method")
        answer = await gw.http.options("/mcp", headers=asked)
        assert answer.headers["access-control-allow-origin"] == FOREIGN
        allowed = words(answer.headers["access-control-allow-headers"])
        assert allowed == {"mcp-param-region", "mcp-method"}


@pytest.mark.parametrize("prefix", ["", "/tools"])
async def test_behind_a_proxy_under_a_path(prefix):
    """The proxy may take its path off, or not."""
    listen = {"public_url": PUBLIC + "/", "allowed_hosts": ["127.0.0.1"]}
    async with gateway({"one": plain()}, listen=listen, auth=AUTH) as gw:
        await gw.up()
        for path in ("/mcp", "/servers/one/mcp"):
            refused = await gw.http.post(prefix + path, json={})
            place = f"https://host.example{METADATA}/tools{path}"
            assert f'resource_metadata="{place}"' in refused.headers["www-authenticate"]
            for found in (f"{METADATA}/tools{path}", f"{METADATA}{path}"):
                assert (await gw.http.get(found)).json()["resource"] == PUBLIC + path
            client = Modern(gw, prefix + path, KEY)
            tool = "one__echo" if path == "/mcp" else "echo"
            assert text_of(await client.call(tool, text="hi")) == "hi"
        known = {"authorization": f"Bearer {KEY}"}
        about = (await gw.http.get(prefix + "/", headers=known)).json()
        assert about["endpoints"]["mcp"] == "/tools/mcp"
        assert about["servers"]["one"]["endpoint"] == "/tools/servers/one/mcp"
        page = (await gw.http.get(prefix + "/", headers={**known, "accept": "text/html"})).text
        assert f"{PUBLIC}/mcp" in page and "/tools/servers/one/mcp" in page
        assert (await gw.http.get(prefix + "/health")).status_code == 200


async def test_the_old_transport_names_an_endpoint_that_the_proxy_knows():
    async with gateway({"one": plain()}, listen={"public_url": PUBLIC}) as gw:
        await gw.up()
        headers = {"accept": "text/event-stream"}
        async with gw.http.stream("GET", "/servers/one/sse", headers=headers) as stream:
            lines = stream.aiter_lines()
            async for line in lines:
                if line.startswith("data:"):
                    break
            endpoint = line.removeprefix("data:").strip()
            assert endpoint.startswith("/tools/servers/one/messages?session=")
            body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            assert (await gw.http.post(endpoint, json=body)).status_code == 202
            answer = await next_message(lines)
            assert answer.get("result") == {}, answer


async def test_a_path_of_the_proxy_may_resemble_one_of_the_gateways():
    async with gateway({"one": plain()}, listen={"public_url": "https://h.example/servers"}) as gw:
        await gw.up()
        for path in ("/servers/one/mcp", "/servers/servers/one/mcp", "/servers/mcp", "/mcp"):
            assert (await Modern(gw, path).ask("tools/list"))["result"]["tools"], path
