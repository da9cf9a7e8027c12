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
from support import Modern, gateway, http, plain, until

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
        assert answer.json() == {"status": "waiting", "required_servers_down": ["dead"]}
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
