"""The official clients take every list of the gateway, whatever servers put into theirs.

Servers' lists are damaged at random. What the gateway makes of them is decoded by the Python SDK as
its client does it, in each revision of the protocol, and listed by whole clients of both languages.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mutate
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mcp.client.client import Client
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp_gateway import envelope, items, lenient, names
from mcp_gateway.catalog import Catalog, Listing
from mcp_gateway.eras import LEGACY_VERSIONS, LIST_MEMBER, MODERN_VERSIONS
from mcp_gateway.pages import Pages
from mcp_gateway.settings import Limits
from mcp_gateway.uris import is_uri
from mcp_types.methods import parse_server_result
from pydantic import AnyUrl, TypeAdapter
from pydantic_core import from_json
from support import Scripted, gateway, http, plain, raw, reply

HERE = Path(__file__).parent / "clients"
CACHE = Path(os.environ.get("MCP_GATEWAY_TEST_CACHE", "/tmp/mcp-gateway-tests"))
OLD_SDK = "mcp==1.30.0"
METHODS = {member: method for method, member in LIST_MEMBER.items()}
CLIENT_SECONDS = 120
SEEDS = range(12)


def listing_of(kind, body):
    """What the gateway keeps of one answer to a list request."""
    limits = Limits()
    pages = Pages(METHODS[kind], limits)
    message = lenient.parse(b'{"jsonrpc":"2.0","id":1,"result":%s}' % body)
    assert pages.add(message.result) is None
    found, faults = items.read_items("s", kind, pages.items, limits)
    return Listing({kind: found}, faults)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(list(mutate.WELL_FORMED)), seed=st.integers(0, 2**32))
def test_the_python_sdk_decodes_what_is_left_of_any_list(kind, seed):
    body = mutate.answer(kind, random.Random(seed), 8)
    try:
        listing = listing_of(kind, body)
    except envelope.EnvelopeError:
        return  # too deep to be read at all: the last good list stays
    catalog = Catalog({"s": listing})
    for shown in (listing.items[kind], catalog.by_name[kind].values()):
        result = {kind: [item.body for item in shown]}
        result |= {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        text = envelope.result(b"1", result)
        decoded = from_json(text)["result"]
        for version in (*LEGACY_VERSIONS, *MODERN_VERSIONS):
            parse_server_result(METHODS[kind], version, decoded)
        member = items.NAME_MEMBER.get(kind, "name")
        own = [i[member] for i in decoded[kind]]
        assert len(own) == len(set(own)) and all(own)
        if kind == "resources":
            for uri in own:
                TypeAdapter(AnyUrl).validate_python(uri)
    for tool in decoded.get("tools", ()):
        assert find_invalid_x_mcp_header(tool["inputSchema"]) is None
    if kind in ("tools", "prompts"):
        assert all(names.VALID.match(name) for name in catalog.by_name[kind])


@settings(max_examples=300, deadline=None)
@example("\\\\:", "file:")
@example("/\\:", "file:")
@given(
    st.text(alphabet="abx:/[]@%. ?#1-ü\\\x00", max_size=20),
    st.sampled_from(
        ["", "http:", "file:", "memo:", "http://", "memo://", "file://", "ws://h", "a+b://h:"]
    ),
)
def test_whatever_passes_for_a_uri_is_one(text, scheme):
    if is_uri(scheme + text):
        TypeAdapter(AnyUrl).validate_python(scheme + text)


@given(st.sampled_from(list(mutate.WELL_FORMED)))
def test_a_well_formed_item_is_not_touched(kind):
    body = json.dumps(mutate.WELL_FORMED[kind]).encode()
    (item,), faults = items.read_items("s", kind, [envelope.msgspec.Raw(body)], Limits())
    assert bytes(item.body) == body and faults == []


class Damaged(Scripted):
    """A modern server whose every list is damaged, from a seed."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed
        self.on_all = self.answer

    async def answer(self, message, headers, writer):
        member = LIST_MEMBER.get(message.get("method"))
        if message.get("method") == "server/discover":
            capabilities = {"tools": {}, "prompts": {}, "resources": {}, "tasks": 3}
            found = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities}
            await reply(writer, message, {"resultType": "complete", **found})
        elif member is not None:
            body = mutate.answer(member, random.Random(f"{self.seed} {member}"), 40)
            head = b'{"jsonrpc":"2.0","id":%d,"result":' % message["id"]
            await raw(writer, head + body + b"}")
        else:
            error = {"code": -32601, "message": "no"}
            text = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error})
            await raw(writer, text.encode(), "404 Not Found")


class Damage:
    """Several damaged servers and a sound one behind one gateway."""

    async def __aenter__(self):
        self._servers = [await Damaged(seed).__aenter__() for seed in SEEDS]
        upstreams = {f"d{s.seed}": http(s.url, era="modern") for s in self._servers}
        limits = {"list_page_size": 150}
        self._gateway = gateway({**upstreams, "sound": plain()}, limits=limits)
        running = await self._gateway.__aenter__()
        await running.up()
        return running

    async def __aexit__(self, *error):
        await self._gateway.__aexit__(*error)
        for server in self._servers:
            await server.__aexit__(*error)


def addresses(gw):
    return [f"{gw.base}/mcp", *(f"{gw.base}/servers/{name}/mcp" for name in gw.gateway.upstreams)]


def expected(gw, url):
    """How many of each kind a client must see there."""
    kinds = list(mutate.WELL_FORMED)
    match = re.search(r"/servers/(\w+)/", url)
    if match is None:
        return {k: len(gw.gateway.servers.catalog.by_name[k]) for k in kinds}
    return {k: gw.gateway.upstreams[match[1]].listing.count(k) for k in kinds}


def check(gw, seen):
    for url, found in seen.items():
        wanted = expected(gw, url)
        if "/sound/" in url:  # it has no prompts and no resources, and says so
            wanted = {"tools": wanted["tools"]}
            found = {"tools": found.get("tools")}
        assert found == wanted, (url, found)
    assert len(seen) == len(gw.gateway.upstreams) + 1


async def run(*command, **environment):
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_python_client_lists_everything(mode):
    async with Damage() as gw:
        seen = {}
        for url in addresses(gw):
            async with Client(url, mode=mode) as client:
                seen[url] = {}
                for kind in METHODS:
                    if "/sound/" in url and kind != "tools":
                        continue
                    list_ = getattr(client, "list_" + re.sub(r"([A-Z])", r"_\1", kind).lower())
                    total, cursor = 0, None
                    while True:
                        page = await list_(cursor=cursor)
                        total += len(getattr(page, re.sub(r"([A-Z])", r"_\1", kind).lower()))
                        cursor = page.next_cursor
                        if cursor is None:
                            break
                    seen[url][kind] = total
        check(gw, seen)


@pytest.fixture(scope="module")
def old_python():
    """An interpreter with version 1 of the SDK; skips where PyPI cannot be reached."""
    home = CACHE / "old-sdk"
    python = home / "bin" / "python"
    if not (home / OLD_SDK).exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", OLD_SDK]
        done = subprocess.run(pip, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"pip cannot install {OLD_SDK}: {done.stderr.strip()[-200:]}")
        (home / OLD_SDK).touch()
    return python


async def test_version_1_of_the_python_client_lists_everything(old_python):
    async with Damage() as gw:
        check(gw, await run(str(old_python), str(HERE / "list_all.py"), *addresses(gw)))


@pytest.fixture(scope="module")
def packages():
    """The folder with both TypeScript clients, as locked; skips where that cannot be."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    home = CACHE / "clients"
    home.mkdir(parents=True, exist_ok=True)
    lock = (HERE / "package-lock.json").read_bytes()
    marker = home / "complete"
    if not marker.exists() or marker.read_bytes() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, home)
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(home)]
        done = subprocess.run(npm, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"npm cannot install the clients: {done.stderr.strip()[-200:]}")
        marker.write_bytes(lock)
    return str(home)


async def test_the_typescript_clients_list_everything(packages):
    async with Damage() as gw:
        report = await run("node", str(HERE / "list_all.mjs"), *addresses(gw), PACKAGES=packages)
        assert len(report) == 3
        for seen in report.values():
            check(gw, seen)
