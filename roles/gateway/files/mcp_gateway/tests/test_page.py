"""The small pages: health, readiness, the index for machines and for people."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib

import pytest
from mcp_gateway import page
from support import KEY, Modern, gateway, http, plain, sha256, until

HTML = {"accept": "text/html,application/xhtml+xml"}


async def test_ready_waits_for_required_servers_only(sdk):
    upstreams = {
        "needed": plain(required=True),
        "dead": http("http://127.0.0.1:9/mcp"),
    }
    async with gateway(upstreams) as gw:
        await gw.up("needed")
        assert (await gw.http.get("/ready")).json() == {"status": "ready"}
    upstreams["dead"]["required"] = True
    async with gateway(upstreams) as gw:
        await gw.up("needed")
        answer = await gw.http.get("/ready")
        assert answer.status_code == 503
        assert answer.json() == {"status": "waiting"}
        assert (await gw.http.get("/")).json()["required_servers_down"] == ["dead"]
        assert (await gw.http.get("/health")).json() == {"status": "alive"}


async def test_the_index_tells_machines_versions_servers_and_state(sdk):
    async with gateway({"one": http(sdk.url), "two": plain()}) as gw:
        await gw.up()
        about = (await gw.http.get("/")).json()
        assert about["protocol_versions"][0] == "2026-07-28"
        assert about["servers"]["one"]["eras"] == ["legacy", "modern"]
        assert about["servers"]["two"]["tools"] == 11
        assert about["tools"] == about["servers"]["one"]["tools"] + 11
        assert (await gw.http.head("/")).content == b""
        assert (await gw.http.post("/")).status_code == 405
        assert (await gw.http.get("/nowhere")).status_code == 404


async def test_the_page_needs_no_script_and_nothing_from_elsewhere(sdk):
    hostile = {"dead": {"type": "stdio", "command": "/<script>alert(1)</script>"}}
    async with gateway({"one": http(sdk.url), **hostile}) as gw:
        await gw.up("one")
        await until(lambda: gw.gateway.upstreams["dead"].refreshed.is_set(), "it was tried")
        answer = await gw.http.get("/", headers=HTML)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        text = answer.text
        assert "<script" not in text and "&lt;script&gt;" in text
        assert not re.findall(r"(?:src|href)\s*=", text)
        assert f"{gw.base}/mcp" in text


def test_the_client_settings_are_valid_and_name_the_gateway():
    for name, _, text in page.client_settings("http://gw:8080"):
        data = tomllib.loads(text) if name == "Codex" else json.loads(text)
        assert "http://gw:8080/mcp" in json.dumps(data)
        assert "MCP_GW_KEY" in text


def browser():
    for name in ("chromium", "chromium-headless-shell", "google-chrome"):
        if path := shutil.which(name):
            return path
    return os.environ.get("CHROMIUM")


@pytest.mark.skipif(not browser(), reason="no Chromium here (set CHROMIUM to its path)")
async def test_a_browser_shows_the_page(sdk, tmp_path):
    import asyncio

    async with gateway({"one": http(sdk.url)}) as gw:
        await gw.up()
        shot = tmp_path / "page.png"
        command = [
            browser(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--timeout=15000",
            f"--screenshot={shot}",
            "--window-size=1000,1200",
            "--user-data-dir=" + str(tmp_path / "profile"),
            gw.base + "/",
        ]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
        assert shot.stat().st_size > 10_000
        assert shot.read_bytes()[:4] == b"\x89PNG"


async def test_the_page_counts_the_same_tools_as_a_client_sees(sdk):
    async with gateway({"one": http(sdk.url)}) as gw:
        await gw.up()
        about = (await gw.http.get("/")).json()
        listed = (await Modern(gw).ask("tools/list"))["result"]["tools"]
        assert len(listed) == about["tools"]


@pytest.fixture
def guarded(tmp_path):
    """Options of a gateway with two people's keys, one of which may use one server only."""
    (tmp_path / "monitoring").write_text("key-of-the-monitoring\n")
    keys = [{"alias": n, "sha256": sha256(KEY + n)} for n in ("ada", "bob")]
    rules = [{"name": "no", "effect": "deny", "keys": ["bob"], "servers": ["secret"]}]
    return {
        "auth": {"static_keys": keys, "monitoring_key_file": str(tmp_path / "monitoring")},
        "policy": {"rules": rules},
        "audit": {"file": str(tmp_path / "audit")},
    }


def bearer(key):
    return {"authorization": f"Bearer {key}"}


SERVERS = {"stock": plain(), "secret": http("http://192.0.2.1:9/mcp", connect_timeout_seconds=0.1)}


async def test_without_a_key_nothing_is_told_of_servers(guarded):
    async with gateway(SERVERS, **guarded) as gw:
        await gw.up("stock")
        for path in ("/", "/health", "/ready", "/metrics", "/.well-known/oauth-protected-resource"):
            for headers in ({}, HTML):
                answer = await gw.http.get(path, headers=headers)
                assert answer.status_code == (401 if path == "/metrics" else 200)
                told = answer.text + str(answer.headers)
                assert not re.search(r"secret|192\.0\.2|stock|echo|0\.1\.0", told), (path, told)
        about = (await gw.http.get("/")).json()
        assert about == {"name": "intranet-mcp-gateway", "status": "ready"}
        assert f"{gw.base}/mcp" in (await gw.http.get("/", headers=HTML)).text
        assert (await gw.http.get("/", headers=bearer("sk-wrong"))).status_code == 401
        gw.gateway.recorder.refusals.summarize()
        assert {li["error"] for li in gw.audit()} == {"unauthorized"}


async def test_where_there_is_a_portal_browsers_are_sent_to_it_and_programs_get_json(guarded):
    listen = {"portal_url": "https://ai.example.internal/portal"}
    async with gateway(SERVERS, listen=listen, **guarded) as gw:
        await gw.up("stock")
        for headers in (HTML, HTML | bearer(KEY + "ada"), HTML | bearer("sk-wrong")):
            sent = await gw.http.get("/", headers=headers)
            assert sent.status_code == 303 and "stock" not in sent.text
            assert sent.headers["location"] == "https://ai.example.internal/portal/"
        for accept in ("application/json", "*/*"):
            told = await gw.http.get("/", headers={"accept": accept} | bearer(KEY + "bob"))
            assert told.status_code == 200 and list(told.json()["servers"]) == ["stock"]
            assert told.headers["vary"] == sent.headers["vary"] == "Accept"
        elsewhere = await gw.http.get("/", headers=HTML | {"host": "evil.example"})
        assert elsewhere.status_code == 421 and "location" not in elsewhere.headers


async def test_with_a_key_the_index_tells_of_the_servers_that_the_key_may_use(guarded):
    servers = {**SERVERS, "secret": {**SERVERS["secret"], "required": True}}
    async with gateway(servers, **guarded) as gw:
        await gw.up("stock")
        dead = gw.gateway.upstreams["secret"]
        await until(lambda: dead.breaker.last_error, "it was tried")
        ada, bob = [
            (await gw.http.get("/", headers=bearer(KEY + name))).json() for name in ("ada", "bob")
        ]
        assert sorted(ada["servers"]) == ["secret", "stock"] and list(bob["servers"]) == ["stock"]
        assert ada["required_servers_down"] == ["secret"] and "secret" not in json.dumps(bob)
        assert bob["tools"] == 11 and "192.0.2" not in json.dumps(ada)
        page = await gw.http.get("/", headers=HTML | bearer(KEY + "bob"))
        assert "stock" in page.text and "secret" not in page.text


async def test_a_required_server_that_is_down_is_named_to_those_who_may_use_it(guarded):
    required = {**SERVERS, "secret": {**SERVERS["secret"], "required": True}}
    async with gateway(required, **guarded) as gw:
        await gw.up("stock")
        ada, bob = [
            (await gw.http.get("/", headers=bearer(KEY + who))).json() for who in ("ada", "bob")
        ]
        assert ada["required_servers_down"] == ["secret"] and ada["status"] == "waiting"
        assert "secret" not in json.dumps(bob)


async def test_metrics_and_errors_are_for_the_monitoring(guarded):
    async with gateway(SERVERS, **guarded) as gw:
        await gw.up("stock")
        monitoring = bearer("key-of-the-monitoring")
        metrics = await gw.http.get("/metrics", headers=monitoring)
        assert 'mcp_gateway_upstream_up{server="secret"} 0.0' in metrics.text
        about = (await gw.http.get("/", headers=monitoring)).json()
        assert "192.0.2.1" in about["servers"]["secret"]["last_error"]
        # A person's key reads no metrics, and the monitoring's uses no tool.
        assert (await gw.http.get("/metrics", headers=bearer(KEY + "ada"))).status_code == 401
        answer = await Modern(gw, key="key-of-the-monitoring").send("tools/list")
        assert answer.status_code == 401
