"""The npm reference servers behind the gateway, where npm reaches its registry."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support import Legacy, Modern, gateway, text_of

PINNED = {
    "@modelcontextprotocol/server-everything": "2026.8.31",
    "@modelcontextprotocol/server-filesystem": "2026.8.31",
}
CACHE = Path(os.environ.get("MCP_GATEWAY_TEST_CACHE", "/tmp/mcp-gateway-tests")) / "npm"


@pytest.fixture(scope="module")
def npm():
    """The folder with both servers installed; skips where that cannot be."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = [f"{name}@{version}" for name, version in PINNED.items()]
    if not (CACHE / "node_modules/@modelcontextprotocol/server-filesystem").exists():
        done = subprocess.run(
            ["npm", "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", *wanted],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"npm cannot install the servers: {done.stderr.strip()[-200:]}")
    return CACHE / "node_modules" / "@modelcontextprotocol"


def node(package, *args, **options):
    main = str(package / "dist" / "index.js")
    return {"type": "stdio", "command": "node", "args": [main, *args], **options}


async def test_the_filesystem_server_has_14_tools_and_reads(npm, tmp_path):
    (tmp_path / "note.txt").write_text("from a file")
    async with gateway({"files": node(npm / "server-filesystem", str(tmp_path))}) as gw:
        await gw.up()
        legacy = Legacy(gw)
        await legacy.initialize()
        for client in (Modern(gw), legacy):
            tools = (await client.ask("tools/list"))["result"]["tools"]
            assert len(tools) == 14
            answer = await client.call("files__read_text_file", path=str(tmp_path / "note.txt"))
            assert text_of(answer) == "from a file"


@pytest.mark.parametrize("mode", ["shared", "per_session"])
async def test_the_everything_server_echoes_lists_and_reads(npm, mode):
    async with gateway({"every": node(npm / "server-everything", mode=mode)}) as gw:
        await gw.up()
        legacy = Legacy(gw)
        await legacy.initialize()
        for client in (Modern(gw), legacy):
            assert text_of(await client.call("every__echo", message="hi")) == "Echo: hi"
            resources = (await client.ask("resources/list"))["result"]["resources"]
            read = await client.ask("resources/read", {"uri": resources[0]["uri"]})
            assert read["result"]["contents"]
            prompts = (await client.ask("prompts/list"))["result"]["prompts"]
            assert all(p["name"].startswith("every__") for p in prompts)
