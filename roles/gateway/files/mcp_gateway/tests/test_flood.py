"""What anybody may cost who has no key: memory, time, connections, look-ups and audit lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import pytest
from support import KEY, Modern, gateway, plain, sha256, text_of, until
from test_identify import GOOD, FakeLitellm, litellm, status

KEYS = {"static_keys": [{"alias": "ada", "sha256": sha256(KEY)}]}
HEAD = b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


async def flood(gw, head: bytes, piece: bytes, most: int = 8 << 20) -> tuple[int, bytes]:
    """(bytes taken, answer) of a request whose pieces never end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gw.port)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
    answer = asyncio.create_task(reader.read())
    sent = 0
    try:
        writer.write(head)
        while sent < most and not answer.done():
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            await asyncio.sleep(0)
        return sent, await answer
    except ConnectionError:
        answer.cancel()
        return sent, b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (HEAD, b"x-a: " + b"a" * 4000 + b"\r\n"),
        (HEAD + b"x-a: ", b"a" * 4096),
        (HEAD, b"a:\r\n" * 1000),
        (b"GET /", b"a" * 4096),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x-a: " + b"a" * 4000 + b"\r\n"),
        (CHUNKED + b"2\r\n{}\r\n0\r\nx-a: ", b"a" * 4096),
        (CHUNKED + b"2;a=", b"a" * 4096),
    ],
    ids=[
        "headers",
        "one header",
        "tiny headers",
        "address",
        "trailers",
        "one trailer",
        "extension",
    ],
)
async def test_what_is_no_body_has_a_bound(head, piece):
    async with gateway(auth=KEYS) as gw:
        sent, _ = await flood(gw, head, piece)
        assert sent < 2 << 20
        assert (await gw.http.get("/health")).status_code == 200
        await until(lambda: gw.gateway.connections.total <= 1, "the connection is closed")


async def answer_of(gw, sent: bytes, then: bytes = b"") -> bytes:
    """Everything that comes back until the gateway closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gw.port)
    try:
        writer.write(sent)
        if then:
            await reader.readuntil(b"}")
            writer.write(then)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


ASK = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "then"),
    [(b"", b""), (HEAD, b""), (ASK, HEAD), (b"GET /hea", b"")],
    ids=["nothing", "half a head", "half a second head", "half a line"],
)
async def test_a_head_has_a_time_to_arrive(first, then):
    async with gateway(limits={"header_seconds": 0.5}) as gw:
        assert b" 408 " in await answer_of(gw, first, then)


async def test_a_request_that_was_answered_before_its_end_has_a_time_to_end():
    async with gateway(limits={"header_seconds": 0.5}) as gw:
        slow = b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"
        answer = await answer_of(gw, slow)
        assert answer.count(b"HTTP/1.1") == 1 and b" 200 " in answer


async def test_a_whole_request_and_an_idle_connection_keep_their_time():
    async with gateway(limits={"header_seconds": 0.5}) as gw:
        reader, writer = await asyncio.open_connection("127.0.0.1", gw.port)
        for _ in range(2):
            writer.write(ASK)
            assert b" 200 " in await reader.readuntil(b"}")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 1.0)
        writer.close()


@pytest.mark.parametrize("then", [b"\r\n", b"\r\n\r\n\r\n"], ids=["one", "three"])
async def test_a_line_break_between_requests_does_not_hold_the_connection(then):
    async with gateway(limits={"header_seconds": 0.5}) as gw:
        assert await answer_of(gw, ASK, then) == b""  # it is closed


async def test_requests_that_wait_for_others_have_a_bound():
    """A head of 40 bytes costs kilobytes here, and thousands of them fit into one packet."""
    async with gateway(auth=KEYS) as gw:
        few = ASK * 10 + ASK[:-2] + b"connection: close\r\n\r\n"
        assert (await answer_of(gw, few)).count(b" 200 ") == 11
        with contextlib.suppress(ConnectionResetError):
            assert (await answer_of(gw, ASK * 4000)).count(b" 200 ") < 4000
        await until(lambda: gw.gateway.connections.total == 0, "the connection is closed")


@pytest.mark.parametrize("count", [1, 16])
async def test_who_reads_no_answer_loses_the_connection(count, monkeypatch):
    page = b"x" * (4 << 20)
    monkeypatch.setattr("mcp_gateway.page.render_public", lambda base: page.decode())
    async with gateway(auth=KEYS, limits={"slow_reader_seconds": 0.3}) as gw:
        ask = b"GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\r\n"
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", gw.port))
            deaf.sendall(ask * count)
            await until(lambda: gw.gateway.connections.total == 1, "it is open")
            await until(lambda: gw.gateway.connections.total == 0, "it is closed", 5)
        # Who reads, however slowly, gets everything.
        reader, writer = await asyncio.open_connection("127.0.0.1", gw.port, limit=1024)
        writer.write(ask)
        await reader.readuntil(b"\r\n\r\n")
        got = 0
        while got < len(page):
            got += len(await reader.read(256 << 10))
            await asyncio.sleep(0.01)  # slowly, and yet it goes on
        writer.close()


async def test_a_call_ends_with_its_client_though_another_request_waits(tmp_path):
    async with gateway({"one": plain()}) as gw:
        await gw.up()
        marker = tmp_path / "marker"
        arguments = {"marker": str(marker)}
        built = Modern(gw).build("tools/call", {"name": "one__hang", "arguments": arguments})
        body = json.dumps(built["json"]).encode()
        heads = {**built["headers"], "host": "localhost", "content-length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in heads.items())
        _, writer = await asyncio.open_connection("127.0.0.1", gw.port)
        writer.write(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body + ASK)
        await until(marker.exists, "the tool hangs")
        writer.close()
        await until(lambda: gw.gateway.bounds._total == 0, "the call has ended", 5)


async def opened(gw, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    return [await asyncio.open_connection("127.0.0.1", gw.port) for _ in range(count)]


@pytest.mark.parametrize(
    ("limits", "proxies", "refused"),
    [
        ({"connections": 3}, [], True),
        ({"connections": 3}, ["localhost"], True),
        ({"connections_per_address": 3}, [], True),
        ({"connections_per_address": 3}, ["localhost"], False),
        ({"connections_per_address": 3}, ["127.0.0.0/8"], False),
        ({"connections_per_address": 3}, ["10.0.0.1", "no-such-name.invalid"], True),
    ],
)
async def test_connections_are_bounded_in_all_and_by_address(limits, proxies, refused):
    async with gateway(limits=limits, listen={"trusted_proxies": proxies}) as gw:
        held = await opened(gw, 3)
        await until(lambda: gw.gateway.connections.total == 3, "three are open")
        ((reader, writer),) = await opened(gw, 1)
        writer.write(ASK)
        assert (b" 503 " if refused else b" 200 ") in await reader.readline()
        for _, other in [*held, (reader, writer)]:
            other.close()
        await until(lambda: gw.gateway.connections.total == 0, "all are closed")
        assert (await gw.http.get("/health")).status_code == 200


async def test_wrong_keys_do_not_keep_a_right_one_waiting():
    """Its 30 seconds are over while a hundred wrong ones are being asked for."""
    limits = {"auth_failures_per_minute": 0}
    async with (
        FakeLitellm() as fake,
        gateway(auth=litellm(fake, cache_seconds=0), limits=limits) as gw,
    ):
        assert await status(gw, GOOD) == 200
        fake.hold = asyncio.Event()
        wrong = [asyncio.create_task(status(gw, f"sk-wrong-{i:08}")) for i in range(100)]
        await until(lambda: sum(t.done() for t in wrong) > 50, "most of them were turned away")
        good = asyncio.create_task(status(gw, GOOD))
        assert await asyncio.wait_for(good, 4) == 200
        fake.hold.set()
        assert set(await asyncio.gather(*wrong)) <= {401, 503}


async def test_a_key_revoked_while_litellm_is_slow_stops_working_with_its_answer():
    async with FakeLitellm() as fake, gateway(auth=litellm(fake, cache_seconds=0)) as gw:
        assert await status(gw, GOOD) == 200
        del fake.keys[GOOD]
        fake.hold = asyncio.Event()
        assert await status(gw, GOOD) == 200
        fake.hold.set()
        keys = gw.gateway.identification.authorities[0]
        await until(lambda: not keys._known_lookups, "LiteLLM's answer came")
        assert await status(gw, GOOD) == 401


async def test_refused_keys_push_no_known_one_out(monkeypatch):
    monkeypatch.setattr("mcp_gateway.auth.litellm.MAX_REFUSED", 5)
    async with FakeLitellm() as fake, gateway(auth=litellm(fake)) as gw:
        assert await status(gw, GOOD) == 200
        for i in range(20):
            assert await status(gw, f"sk-wrong-{i:08}") == 401
        asked = fake.asked
        assert await status(gw, GOOD) == 200 and fake.asked == asked
        keys = gw.gateway.identification.authorities[0]
        assert len(keys._refused) == 5


async def test_wrong_keys_of_one_address_are_bounded_and_right_ones_work_on():
    listen = {"trusted_proxies": ["127.0.0.1"]}
    limits = {"auth_failures_per_minute": 5}
    async with (
        FakeLitellm() as fake,
        gateway(auth=litellm(fake), limits=limits, listen=listen) as gw,
    ):

        async def status_from(address, key):
            client = Modern(gw, key=key)
            client.headers["x-forwarded-for"] = address
            return (await client.send("tools/list")).status_code

        assert await status_from("192.0.2.7", GOOD) == 200
        got = [await status_from("192.0.2.7", f"sk-wrong-{i:08}") for i in range(8)]
        assert got == [401] * 5 + [429] * 3 and fake.asked == 6
        assert await status_from("192.0.2.7", GOOD) == 200
        assert await status_from("192.0.2.8", "sk-wrong-00000000") == 401
        # What a client says before the balancer's own word does not count.
        assert await status_from("192.0.2.9, 192.0.2.7", "sk-wrong-99999999") == 429
        # One wrong key again and again costs LiteLLM nothing, and its neighbours neither.
        got = [await status_from("192.0.2.10", "sk-old-00000000") for _ in range(20)]
        assert got == [401] * 20
        fake.keys["sk-new-000000001"] = {"key_alias": "bob"}
        assert await status_from("192.0.2.10", "sk-new-000000001") == 200
        # The balancer itself is nobody's address.
        assert [await status(gw, f"sk-none-{i:08}") for i in range(8)] == [401] * 8


async def test_nobody_without_a_key_fills_the_audit(tmp_path):
    audit = {"file": str(tmp_path / "audit")}
    async with gateway({"one": plain()}, auth=KEYS, audit=audit) as gw:
        await gw.up()
        for _ in range(20):
            assert (await gw.http.post("/mcp", json={})).status_code == 401
            await gw.http.post("/mcp", json={}, headers={"host": "evil.example"})
        await Modern(gw, key=KEY).call("one__pid")
        assert [line["caller"] for line in gw.audit()] == ["ada"]
        gw.gateway.recorder.refusals.summarize()
        lines = gw.audit()[1:]
        assert [(li["error"], li["address"], li["count"]) for li in lines] == [
            ("unauthorized", "127.0.0.1", 20),
            ("host", "127.0.0.1", 20),
        ]
        assert all(li["status"] == "refused" and li["seconds"] >= 0 for li in lines)


async def test_what_is_not_http_is_counted_and_leaves_no_line_each(tmp_path, caplog):
    caplog.set_level("INFO")
    async with gateway(audit={"file": str(tmp_path / "audit")}) as gw:
        for sent in (b"\x16\x03\x01 hello\r\n\r\n", b"GET / HTTP/9\r\n\r\n"):
            assert b" 400 " in await answer_of(gw, sent)
        upgrade = ASK[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", gw.port)
        writer.write(upgrade)
        assert b" 200 " in await reader.readline()
        writer.close()
        gw.gateway.recorder.refusals.summarize()
        assert [(li["error"], li["count"]) for li in gw.audit()] == [("http", 2)]
    said = [r.getMessage() for r in caplog.records if r.name.startswith("uvicorn")]
    words = ("HTTP request", "upgrade", "WebSocket")
    assert not [line for line in said if any(word in line for word in words)]


async def test_refusals_from_many_addresses_are_few_lines(tmp_path):
    audit = {"file": str(tmp_path / "audit")}
    async with gateway(audit=audit) as gw:
        for i in range(5000):
            gw.gateway.recorder.refused("unauthorized", f"10.0.{i // 250}.{i % 250}")
        gw.gateway.recorder.refusals.summarize()
        lines = gw.audit()
        assert len(lines) == 101 and sum(li["count"] for li in lines) == 5000
        assert lines[-1]["address"] == "others"


async def test_the_audit_file_is_rotated_and_the_newest_are_kept(tmp_path, capfd):
    audit = {"file": str(tmp_path / "audit"), "rotate_bytes": 2000, "keep_files": 2, "stdout": True}
    async with gateway({"one": plain()}, auth=KEYS, audit=audit) as gw:
        await gw.up()
        client = Modern(gw, key=KEY)
        for i in range(40):
            assert text_of(await client.call("one__echo", text=str(i))) == str(i)
            gw.gateway.recorder.audit.flush()
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == ["audit", "audit.1", "audit.2"]
    newest_first = [(tmp_path / name).read_text().splitlines() for name in files]
    times = [json.loads(line)["time"] for lines in reversed(newest_first) for line in lines]
    assert times == sorted(times) and 5 < len(times) < 40
    printed = [line for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    assert len(printed) == 40
