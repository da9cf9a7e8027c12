"""What a client sends never becomes another message than the one that policy has looked at."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mcp_gateway.authorize import Authorization
from mcp_gateway.pending import Questions
from mcp_gateway.sessions import Sealer
from support import (
    ACCEPT,
    HERE,
    KEY,
    META,
    MODERN,
    Legacy,
    Modern,
    Scripted,
    gateway,
    http,
    messages,
    next_message,
    plain,
    raw,
    reply,
    sha256,
    stdio,
    text_of,
    until,
)

KEYS = {"static_keys": [{"alias": n, "sha256": sha256(KEY + n)} for n in ("ann", "bob")]}
ONLY_ECHO = {"default": "deny", "rules": [{"name": "echo", "tools": ["echo"], "resources": []}]}


class Recording(Scripted):
    """A legacy HTTP server that keeps the bytes of every body, and the session they came in."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []
        self.asks = asyncio.Event()
        self.sessions = 0

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if body:
                    self.bodies.append(body)
                await self._answer(json.loads(body) if body else {}, headers, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, message, headers, writer):
        method = message.get("method")
        if method == "initialize":
            self.sessions += 1
            result = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "recording", "version": "1"},
            }
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
            await raw(writer, body.encode(), f"200 OK\r\nmcp-session-id: sid-{self.sessions}")
        elif method == "tools/list":
            names = ("allowed", "forbidden")
            tools = [{"name": n, "inputSchema": {"type": "object"}} for n in names]
            await reply(writer, message, {"tools": tools})
        elif method == "tools/call" and message["params"]["name"] in ("ask", "withdraw"):
            question = {"jsonrpc": "2.0", "id": 7, "method": "elicitation/create", "params": {}}
            done = {"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}
            head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
            writer.write(head.encode() + b"data: " + json.dumps(question).encode() + b"\n\n")
            await writer.drain()
            if message["params"]["name"] == "withdraw":
                back = {"jsonrpc": "2.0", "method": "notifications/cancelled"}
                back["params"] = {"requestId": 7}
                writer.write(b"data: " + json.dumps(back).encode() + b"\n\n")
            else:
                await self.asks.wait()
            writer.write(b"data: " + json.dumps(done).encode() + b"\n\n")
            writer.close()
        elif "id" in message and method:
            await reply(writer, message, {"content": []})
        else:
            await raw(writer, b"", "202 Accepted" if message else "405 Method Not Allowed")


def call_of(tool: str, **arguments: object) -> dict[str, object]:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 4711, "method": "tools/call", "params": params}


def smuggled(marker: Path) -> str:
    """What follows a request id in a JSON document, and makes a tool call of a response."""
    members = {"method": "tools/call", "params": {"name": "hang", "arguments": {"marker": ""}}}
    members["params"]["arguments"]["marker"] = str(marker)
    return json.dumps(members)[1:-1]


async def is_refused(gw, client, body, path="/mcp"):
    """The body is refused with an HTTP status, and the audit line says so."""
    before = len(gw.audit())
    answer = await gw.http.post(path, content=body, headers=client.headers)
    assert answer.status_code == 400, (answer.status_code, answer.text)
    assert answer.json()["id"] is None

    def lines():
        return [line for line in gw.audit()[before:] if line["method"] == "response"]

    assert (await until(lines, "a line in the audit"))[-1]["status"] == "refused"
    return answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp"])
async def test_an_id_that_holds_json_makes_no_server_run_a_tool(sdk, tmp_path, path):
    marker = tmp_path / "ran"
    audit = {"file": str(tmp_path / "audit")}
    async with gateway({"one": http(sdk.url)}, policy=ONLY_ECHO, audit=audit) as gw:
        await gw.up()
        client = Legacy(gw, path)
        await client.initialize({"elicitation": {}})
        echo = "echo" if "servers" in path else "one__echo"
        assert text_of(await client.call(echo, text="well")) == "well"
        ids = (f"s:one:7,{smuggled(marker)}", f"7,{smuggled(marker)}")
        bodies = [json.dumps({"jsonrpc": "2.0", "result": {}, "id": id_}) for id_ in ids]
        for body in bodies:
            await gw.http.post(path, content=body, headers=client.headers)
        # Had the server taken one for a call, it would have begun it before this one ends.
        assert text_of(await client.call(echo, text="still")) == "still"
        assert not Path(f"{marker}.started").exists()
        for body in bodies:
            assert "no server asked" in await is_refused(gw, client, body, path)


async def test_the_old_transport_refuses_such_an_id_too(sdk, tmp_path):
    marker = tmp_path / "ran"
    audit = {"file": str(tmp_path / "audit")}
    async with gateway({"one": http(sdk.url)}, policy=ONLY_ECHO, audit=audit) as gw:
        await gw.up()
        client = Legacy(gw)
        async with gw.http.stream("GET", "/sse") as stream:
            lines = stream.aiter_lines()
            location = [await anext(lines) for _ in range(2)][1].removeprefix("data: ")
            client.path = location
            await client.send("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}})
            await next_message(lines)
            body = json.dumps({"jsonrpc": "2.0", "result": {}, "id": f"s:one:7,{smuggled(marker)}"})
            await gw.http.post(location, content=body)
            await client.send("tools/call", {"name": "one__echo", "arguments": {"text": "well"}})
            await next_message(lines)
            assert not Path(f"{marker}.started").exists()
            assert "no server asked" in await is_refused(gw, client, body, location)


@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}',
        '{"jsonrpc":"2.0","method":"notifications/x","result":{}}',
        '{"jsonrpc":"2.0","id":1,"method":"ping","error":null}',
        '{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
        '{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
        '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}',
        '{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":"a","name":"b"}}',
        '{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"a":1,"a":2}}}',
        '{"jsonrpc":"2.0","id":1,"method":"x","params":{"ref":{"name":"a","n\\u0061me":"b"}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"\xc0\xa2"}}',
    ],
)
async def test_a_message_that_can_be_read_in_two_ways_is_refused(body):
    async with gateway() as gw:
        answer = await gw.http.post("/mcp", content=body, headers={"accept": ACCEPT})
        assert answer.status_code == 400 and answer.json()["error"]["code"] in (-32600, -32700)


@pytest.mark.parametrize("upstream", [plain, stdio])
@pytest.mark.parametrize("line_break", ["\n", "\r"])
async def test_a_line_break_between_two_tokens_begins_no_message(tmp_path, upstream, line_break):
    marker = tmp_path / "ran"
    inner = json.dumps(call_of("hang", marker=str(marker)))
    outer = json.dumps(call_of("one__echo", text="well", hidden=[]))
    body = outer.replace("[]", f"[{line_break}{inner}{line_break}]")
    async with gateway({"one": upstream(mode="shared")}, policy=ONLY_ECHO) as gw:
        await gw.up()
        client = Legacy(gw)
        await client.initialize()
        answer = await gw.http.post("/mcp", content=body, headers=client.headers)
        assert answer.status_code == 200
        assert text_of(await client.call("one__echo", text="still")) == "still"
        assert not marker.exists() and not Path(f"{marker}.started").exists()


@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp"])
async def test_a_question_is_answered_by_the_session_that_was_asked_and_by_no_other(tmp_path, path):
    tool = "ask" if "servers" in path else "one__ask"
    options = {"auth": KEYS, "audit": {"file": str(tmp_path / "audit")}}
    async with Recording() as up, gateway({"one": http(up.url, era="legacy")}, **options) as gw:
        await gw.up()
        ann, bob = (Legacy(gw, path, key=KEY + name) for name in ("ann", "bob"))
        for client in (ann, bob):
            await client.initialize({"elicitation": {}})
        request = ann.message("tools/call", {"name": tool})
        async with gw.http.stream("POST", path, json=request, headers=ann.headers) as stream:
            lines = stream.aiter_lines()
            question = await next_message(lines)
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}}
            before = len(up.bodies)
            for forged in (question["id"], question["id"][:-4] + "AAAA", "s:one:7", "7", 7):
                await is_refused(gw, bob, json.dumps({**answer, "id": forged}), path)
            assert len(up.bodies) == before
            extra = {**answer, "params": {"name": "forbidden"}, "more": 1}
            assert (await ann.post(extra)).status_code == 202
            sent = json.loads(up.bodies[-1])
            assert sent == {"jsonrpc": "2.0", "id": 7, "result": {"action": "accept"}}
            up.asks.set()
            assert (await next_message(lines))["result"] == {"content": []}


async def test_a_shared_session_takes_answers_from_nobody_who_was_not_asked(tmp_path):
    audit = {"file": str(tmp_path / "audit")}
    async with Recording() as up:
        upstream = http(up.url, era="legacy", mode="shared")
        async with gateway({"one": upstream}, audit=audit) as gw:
            await gw.up()
            client = Legacy(gw, "/servers/one/mcp")
            await client.initialize()
            await client.call("allowed")
            before = len(up.bodies)
            await is_refused(gw, client, '{"jsonrpc":"2.0","id":7,"result":{}}', client.path)
            assert len(up.bodies) == before


async def test_who_lost_a_server_cannot_answer_its_questions_or_notify_it(tmp_path):
    options = {"audit": {"file": str(tmp_path / "audit")}}
    async with Recording() as up, gateway({"one": http(up.url, era="legacy")}, **options) as gw:
        await gw.up()
        client = Legacy(gw)
        await client.initialize({"elicitation": {}})
        request = client.message("tools/call", {"name": "one__ask"})
        async with gw.http.stream("POST", "/mcp", json=request, headers=client.headers) as stream:
            question = await next_message(stream.aiter_lines())
            config = gw.gateway.config
            denied = type(config.policy)(default="deny")
            gw.gateway.access.authorization = Authorization(denied)
            before = len(up.bodies)
            answer = await client.post({"jsonrpc": "2.0", "id": question["id"], "result": {}})
            assert answer.status_code == 403 and gw.audit()[-1]["error"] == "policy"
            await client.post({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})
            assert len(up.bodies) == before
            up.asks.set()


async def test_a_name_that_no_header_can_carry_harms_nobody_else():
    """Such a call once counted as a server that cannot be reached."""
    breaker = {"failures": 2}
    async with Scripted() as up, gateway({"one": http(up.url, breaker=breaker)}) as gw:
        await gw.up()
        client = Modern(gw, "/servers/one/mcp")
        for _ in range(3):
            request = client.build("tools/call", {"name": "act\n"})
            request["headers"]["mcp-name"] = "=?base64?YWN0Cg==?="
            assert (await gw.http.post(client.path, **request)).status_code == 200
            assert up.seen[-1][1]["mcp-name"] == "=?base64?YWN0Cg==?="
        assert text_of(await client.call("act")) == "acted"


@pytest.mark.parametrize(
    "path", ["/mcp%0A", "/servers/one/mcp%0A", "/sse%0A", "/mcp%0D", "/mcp%00"]
)
async def test_a_path_with_a_control_character_is_no_path_of_ours(path):
    async with gateway() as gw:
        answer = await gw.http.post(path, json={}, headers={"accept": ACCEPT})
        assert answer.status_code in (400, 404, 405), answer.text
        assert "internal error" not in answer.text


@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp"])
async def test_a_server_that_takes_a_question_back_means_the_one_that_the_client_saw(path):
    tool = "withdraw" if "servers" in path else "one__withdraw"
    async with Recording() as up, gateway({"one": http(up.url, era="legacy")}) as gw:
        await gw.up()
        client = Legacy(gw, path)
        await client.initialize({"elicitation": {}})
        answer = messages(await client.send("tools/call", {"name": tool}))
        assert [m.get("method") for m in answer[:2]] == [
            "elicitation/create",
            "notifications/cancelled",
        ]
        assert answer[1]["params"]["requestId"] == answer[0]["id"] != 7


def test_ids_of_questions_are_the_same_each_time_and_no_two_alike():
    questions = Questions(Sealer([b"k" * 32]), "")
    asked = [
        ("uid", "one", b"7"),
        ("uid", "one", b'"7"'),
        ("uid", "one", b"8"),
        ("uid", "two", b"7"),
        ("other", "one", b"7"),
    ]
    ids = [questions.pass_on(*question) for question in asked]
    assert ids == [questions.pass_on(*question) for question in asked]
    assert len(set(ids)) == len(asked)
    assert questions.passed("uid", ids[0]) == ("one", b"7")
    assert questions.passed("other", ids[0]) is None
    assert questions.passed("uid", "gw." + ids[0][3:]) is None


BLANKS = st.text(" \t\r\n", max_size=3)
HOSTILE = st.sampled_from(
    [
        '7,"method":"tools/call","params":{"name":"forbidden"}',
        '"}\n{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"forbidden"}}\n',
        "s:web:7",
        's:web:7,"method":"tools/call","params":{"name":"forbidden"}',
        "\r\n\r\nPOST /mcp HTTP/1.1\r\n",
        "\u2028",
        "\x00",
    ]
)
TEXT = st.text(max_size=8) | HOSTILE
FORBIDDEN = st.just(call_of("forbidden"))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | FORBIDDEN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ID = st.integers() | TEXT
PARAMS = st.fixed_dictionaries(
    {"name": st.sampled_from(["web__allowed", "pipe__allowed", "allowed"])},
    optional={
        "arguments": st.dictionaries(TEXT, VALUE, max_size=3),
        "_meta": st.dictionaries(st.just("progressToken") | TEXT, VALUE, max_size=3),
        "requestId": ID,
        "progressToken": ID,
        "cursor": TEXT,
        "level": TEXT,
        "more": VALUE,
    },
)
METHOD = st.sampled_from(
    [
        "tools/call",
        "tools/list",
        "prompts/get",
        "ping",
        "logging/setLevel",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
        "made/up",
    ]
)
MEMBERS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0")},
    optional={
        "id": ID,
        "method": METHOD | TEXT,
        "params": PARAMS,
        "result": VALUE,
        "error": VALUE,
        "more": VALUE,
    },
)


RESPONSE = st.fixed_dictionaries({"jsonrpc": st.just("2.0"), "id": ID, "result": VALUE})


def written(value: object, blanks: str, depth: int) -> bytes:
    """JSON with these blanks around every token down to this depth."""
    return _text(value, blanks, depth).encode("utf-8", "surrogatepass")


def _text(value: object, blanks: str, depth: int) -> str:
    if depth == 0 or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        inner = [_text(v, blanks, depth - 1) for v in value]
    else:
        inner = [f"{json.dumps(k)}:{blanks}{_text(v, blanks, depth - 1)}" for k, v in value.items()]
    opens, closes = "[]" if isinstance(value, list) else "{}"
    return opens + blanks + f"{blanks},{blanks}".join(inner) + blanks + closes


def kind_of(data: bytes) -> tuple[str, str]:
    """(kind, method) of the one message in `data`; an error when it is not exactly one."""

    def once(pairs):
        assert len({k for k, _ in pairs}) == len(pairs), data
        return dict(pairs)

    message = json.loads(data.decode())
    outer = json.JSONDecoder(object_pairs_hook=lambda pairs: pairs).decode(data.decode())
    once(outer)
    known = {"jsonrpc", "id", "method", "params", "result", "error"}
    assert isinstance(message, dict) and set(message) <= known, data
    if "method" in message:
        assert not {"result", "error"} & set(message), data
        return ("request" if "id" in message else "notification"), message["method"]
    assert "id" in message and ("result" in message) != ("error" in message), data
    return "response", ""


OWN = {"initialize", "notifications/initialized", "server/discover", "tools/list", "ping"}
ENDS = ("/mcp", "/servers/web/mcp", "/servers/pipe/mcp")


class Lab:
    """A gateway before two recording servers, in a loop that many examples share."""

    def __init__(self, folder: Path) -> None:
        self.record = folder / "lines"
        self.record.touch()
        self.loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self.clients: list[Legacy] = []
        self._known = [0, 0]

    def __enter__(self) -> Lab:
        self._ready = self.loop.create_future()
        self._task = self.loop.create_task(self._run())
        self.loop.run_until_complete(self._ready)
        return self

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        server = str(HERE / "servers" / "recording_server.py")
        pipe = {
            "type": "stdio",
            "command": sys.executable,
            "args": ["-S", server],
            "env": {"RECORDING": str(self.record)},
            "refresh_seconds": 300,
        }
        rules = [{"name": "allowed", "tools": ["allowed"]}]
        async with Recording() as self.web:
            upstreams = {"web": http(self.web.url, era="legacy"), "pipe": pipe}
            policy = {"default": "deny", "rules": rules}
            async with gateway(upstreams, policy=policy) as self.gw:
                await self.gw.up()
                for path in ENDS:
                    self.clients.append(Legacy(self.gw, path))
                    await self.clients[-1].initialize({"elicitation": {}, "roots": {}})
                self._ready.set_result(None)
                await self._stop.wait()

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self._stop.set()
        self.loop.run_until_complete(self._task)
        self.loop.close()

    def received(self) -> list[bytes]:
        """What the two servers have got since this was last asked, message by message."""
        everything = [self.web.bodies, self.record.read_bytes().splitlines()]
        new = [m for part, n in zip(everything, self._known, strict=True) for m in part[n:]]
        self._known = [len(part) for part in everything]
        return new

    def post(self, client: Legacy, body: bytes, modern: dict[str, str] | None = None) -> int:
        headers = modern if modern is not None else client.headers
        return self.loop.run_until_complete(self._post(client.path, body, headers))

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        background = self.gw.gateway._background
        always = set(background)
        answer = await self.gw.http.post(path, content=body, headers=headers)
        await until(lambda: background <= always, "what went on in the background has ended")
        return answer.status_code


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


FORGED = {"jsonrpc": "2.0", "id": 's:web:7,"method":"tools/call","params":{}', "result": {}}
HIDDEN = call_of("allowed", hidden=[call_of("forbidden")])


@example(members=FORGED, blanks="", depth=0, end=0, modern=False)
@example(members=HIDDEN, blanks="\n", depth=4, end=2, modern=False)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    members=MEMBERS | RESPONSE,
    blanks=BLANKS,
    depth=st.integers(0, 6),
    end=st.integers(0, 2),
    modern=st.booleans(),
)
def test_servers_get_exactly_the_messages_that_were_allowed(
    lab, members, blanks, depth, end, modern
):
    client = lab.clients[end]
    headers = None
    if modern and isinstance(members.get("method"), str) and "params" in members:
        meta = {**META, **members["params"].get("_meta", {})}
        members = {**members, "params": {**members["params"], "_meta": meta}}
        headers = Modern(lab.gw).build("x")["headers"]
        headers |= {"mcp-method": "tools/call", "mcp-name": members["params"]["name"]}
        headers["mcp-protocol-version"] = MODERN
    lab.received()
    assert lab.post(client, written(members, blanks, depth), headers) < 500
    for data in lab.received():
        kind, method = kind_of(data)
        if method in OWN:
            continue
        sent = json.loads(data)
        is_answer = "method" not in members
        assert (kind == "response") == is_answer, (members, data)
        if not is_answer:
            assert method == members["method"] or method == "notifications/cancelled"
            assert kind == ("request" if "id" in members else "notification"), (members, data)
        if method == "tools/call":
            assert sent["params"]["name"] == "allowed", (members, data)
