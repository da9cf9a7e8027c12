"""Commands as servers: shared and per session, restarts, environment, the end."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from mcp_gateway.upstreams import stdio
from mcp_gateway.upstreams.base import Hello, UpstreamError
from mcp_gateway.upstreams.pool import SHARED_KEY
from support import MODERN, Legacy, Modern, gateway, plain, text_of, until


async def test_callers_share_one_process_by_default():
    async with gateway({"one": plain()}) as gw:
        one, two = Legacy(gw), Legacy(gw)
        await one.initialize()
        await two.initialize()
        pids = {text_of(await c.call("one__pid")) for c in (one, two, Modern(gw))}
        assert len(pids) == 1


async def test_per_session_gives_each_session_its_own_process_and_ends_it():
    async with gateway({"one": plain(mode="per_session")}) as gw:
        one, two = Legacy(gw), Legacy(gw)
        await one.initialize()
        await two.initialize()
        pids = [text_of(await c.call("one__pid")) for c in (one, two, one)]
        assert pids[0] == pids[2] != pids[1]
        assert (await gw.http.delete("/mcp", headers=one.headers)).status_code == 200
        await until(lambda: not alive(pids[0]), "the process of the session ended")
        assert alive(pids[1])
        assert (await one.send("tools/list")).status_code == 404


async def test_the_longest_idle_process_ends_when_there_are_too_many():
    async with gateway({"one": plain(mode="per_session", max_processes=2)}) as gw:
        clients = [Legacy(gw) for _ in range(3)]
        pids = []
        for client in clients:
            await client.initialize()
            pids.append(text_of(await client.call("one__pid")))
        await until(lambda: not alive(pids[0]), "the oldest process ended")
        assert alive(pids[1]) and alive(pids[2])
        assert text_of(await clients[0].call("one__count")) == "1"  # it gets a new one


async def test_modern_callers_have_a_process_each_in_per_session_mode():
    async with gateway({"one": plain(mode="per_session")}) as gw:
        client = Modern(gw)
        counts = [text_of(await client.call("one__count")) for _ in range(3)]
        assert counts == ["1", "2", "3"]


async def test_a_process_that_ends_is_started_again(tmp_path):
    starts = tmp_path / "starts"
    async with gateway({"one": plain(env={"PLAIN_STARTS": str(starts)})}) as gw:
        client = Modern(gw)
        first = text_of(await client.call("one__pid"))
        ended = await client.call("one__exit")
        assert "exited with code 3" in ended["error"]["message"]
        upstream = gw.gateway.upstreams["one"]
        await until(lambda: upstream.pool.has("@shared"), "it was started again")
        assert text_of(await client.call("one__pid")) != first
        assert len(starts.read_text().split()) == 2


async def test_a_command_that_dies_at_once_is_not_started_in_a_loop(tmp_path):
    starts = tmp_path / "starts"
    env = {"PLAIN_STARTS": str(starts), "PLAIN_DIES": "1"}
    async with gateway({"one": plain(env=env), "two": plain()}) as gw:
        await gw.up("two")
        upstream = gw.gateway.upstreams["one"]
        await until(lambda: upstream.refreshed.is_set(), "it was tried")
        for _ in range(20):
            assert "error" in await Modern(gw).call("one__echo", text="x")
        assert len(starts.read_text().split()) <= 4


async def test_a_missing_command_is_named():
    async with gateway({"one": {"type": "stdio", "command": "/no/such/program"}}) as gw:
        upstream = gw.gateway.upstreams["one"]
        await until(lambda: upstream.refreshed.is_set(), "it was tried")
        assert "/no/such/program: No such file" in upstream.breaker.last_error


async def test_the_child_sees_only_what_it_should(monkeypatch, tmp_path):
    monkeypatch.setenv("LITELLM_MASTER_KEY", "must-stay-here")
    (tmp_path / "token").write_text("from-a-file\n")
    options = {
        "env": {"GIVEN": "yes"},
        "env_from": {"TOKEN": {"file": str(tmp_path / "token"), "prefix": "t-"}},
    }
    async with gateway({"one": plain(**options)}) as gw:
        seen = text_of(await Modern(gw).call("one__environment"))
        assert "GIVEN=yes" in seen and "TOKEN=t-from-a-file" in seen and "PATH=" in seen
        assert "must-stay-here" not in seen


async def test_the_child_is_told_whom_its_container_trusts(monkeypatch):
    named = ("REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "JAVA_TOOL_OPTIONS")
    for name in named:
        monkeypatch.setenv(name, "/trust/it")
    async with gateway({"one": plain()}) as gw:
        seen = text_of(await Modern(gw).call("one__environment"))
        assert all(f"{name}=/trust/it" in seen for name in named)


async def test_a_gateway_that_stops_leaves_no_process_behind():
    async with gateway({"one": plain(), "two": plain(mode="per_session")}) as gw:
        client = Legacy(gw)
        await client.initialize()
        pids = [text_of(await client.call(f"{n}__pid")) for n in ("one", "two")]
        assert all(alive(pid) for pid in pids)
    assert not any(alive(pid) for pid in pids)


# Reads the first message, notes its process id, and does nothing more.
SILENT = """
import os, signal, sys
sys.stdin.readline()
with open(sys.argv[1], "w") as note:
    note.write(str(os.getpid()))
signal.pause()
"""


async def test_a_server_that_never_answers_holds_up_no_stop(tmp_path, monkeypatch):
    """Its process is being opened when the gateway ends: it ends with it, and soon."""
    monkeypatch.setattr(stdio, "GRACE_SECONDS", 0.2)
    note = tmp_path / "pid"
    command = {"type": "stdio", "command": sys.executable, "args": ["-S", "-c", SILENT, str(note)]}
    async with gateway({"one": command}) as gw:
        await until(lambda: note.exists() and note.read_text(), "its process runs")
        link = gw.gateway.upstreams["one"].pool.link
        caller = asyncio.create_task(link("any", SHARED_KEY, Hello(MODERN)))
        await asyncio.sleep(0)  # let it begin to wait for the same process
        loop = asyncio.get_running_loop()
        began = loop.time()
        await gw.gateway.stop()
        assert loop.time() - began < 2
        assert not alive(note.read_text())
        with pytest.raises(UpstreamError, match="is stopping"):
            await caller


async def test_a_server_that_was_taken_out_is_not_started_again():
    async with gateway({"one": plain()}) as gw:
        await gw.up()
        pool = gw.gateway.upstreams["one"].pool
        await gw.gateway.stop()
        with pytest.raises(UpstreamError, match="is stopping"):
            await pool.control()
        assert pool.links == {}


async def test_errors_of_a_process_pass():
    async with gateway({"one": plain()}) as gw:
        answer = await Modern(gw).call("one__error")
        assert answer["error"] == {"code": -32000, "message": "no luck"}


@pytest.mark.parametrize("mode", ["shared", "per_session"])
async def test_many_calls_at_once_each_get_their_own_answer(mode):
    import asyncio

    async with gateway({"one": plain(mode=mode)}) as gw:
        client = Modern(gw)
        words = [f"w{i}" for i in range(50)]
        answers = await asyncio.gather(*(client.call("one__echo", text=w) for w in words))
        assert [text_of(a) for a in answers] == words


def alive(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as handle:
            return handle.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


assert os.name == "posix"


async def test_a_command_that_ends_before_it_is_watched_is_noticed(tmp_path):
    upstream = {"type": "stdio", "command": "/bin/true", "timeout_seconds": 30}
    async with gateway({"one": upstream}) as gw:
        one = gw.gateway.upstreams["one"]
        await until(lambda: one.refreshed.is_set(), "its end was noticed")
        assert "one" in one.breaker.last_error
