"""Small pure parts: names, catalog, events, templates, sealing, translation."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_gateway import names, translate
from mcp_gateway.catalog import Catalog, Listing
from mcp_gateway.items import read_items
from mcp_gateway.route import Refusal, resolve
from mcp_gateway.settings import Breaker as BreakerSettings
from mcp_gateway.settings import Limits
from mcp_gateway.sse import Frame, FrameTooLarge, Parser
from mcp_gateway.upstreams.base import Breaker, Gate
from mcp_gateway.upstreams.streamable import header_value

SERVERS = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)


@given(SERVERS, st.text(min_size=1, max_size=200))
def test_every_name_is_mapped_to_one_that_clients_accept(server, name):
    exposed = names.exposed(server, name)
    assert names.VALID.fullmatch(exposed)
    assert exposed == names.exposed(server, name)
    if names.VALID.fullmatch(f"{server}__{name}"):
        assert names.split(exposed) == (server, name)


@given(SERVERS, st.text(min_size=1, max_size=50))
def test_a_prefixed_uri_leads_back(server, uri):
    assert names.split_uri(names.exposed_uri(server, uri)) == (server, uri)


def listing(server, tools=(), resources=(), templates=()):
    items = {
        "tools": [{"name": n} for n in tools],
        "resources": [{"uri": u} for u in resources],
        "resourceTemplates": [{"uriTemplate": t} for t in templates],
    }
    return Listing(
        {
            k: read_items(server, k, [msgspec.Raw(json.dumps(i).encode()) for i in v], Limits())[0]
            for k, v in items.items()
        }
    )


def test_names_that_collide_or_do_not_fit_are_told_apart():
    long = "x" * 80
    catalog = Catalog({"a": listing("a", ["t", "t t", "t/t", long, long + "y"])})
    tools = catalog.by_name["tools"]
    assert len(tools) == 5
    assert all(names.VALID.fullmatch(n) for n in tools)
    assert {i.name for i in tools.values()} == {"t", "t t", "t/t", long, long + "y"}


def test_resources_are_found_by_name_template_or_prefix():
    catalog = Catalog(
        {
            "a": listing("a", resources=["m://1"], templates=["m://day/{d}"]),
            "b": listing("b", resources=["m://1", "n://1"]),
        }
    )
    assert catalog.find_uri("m://1") == ("a", "m://1")
    assert catalog.find_uri("b+m://1") == ("b", "m://1")
    assert catalog.find_uri("n://1") == ("b", "n://1")
    assert catalog.find_uri("m://day/x") == ("a", "m://day/x")
    assert catalog.find_uri("nowhere") is None


@pytest.mark.parametrize(
    ("template", "uri", "expected"),
    [
        ("a.b/{x}/(c)+{?q}", "a.b/1/(c)+?q=1", True),
        ("a.b/{x}/(c)+", "aXb/1/(c)+", False),
        ("m://{a}/x/{b}", "m://1/x/2", True),
        ("m://{a}/x/{b}", "m://1/y/2", False),
        ("m://{a}/end", "m://end", False),
        ("m://{a}", "m://", True),
        ("plain", "plain", True),
        ("plain", "plain2", False),
    ],
)
def test_which_uris_a_template_may_mean(template, uri, expected):
    assert names.Template(template).matches(uri) is expected


def test_a_hostile_template_costs_no_time():
    import time

    started = time.perf_counter()
    assert not names.Template("{x}a" * 400 + "b").matches("a" * 100_000)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {}),
        ("tools/call", {"name": 3}),
        ("tools/call", {"name": "nobody__t"}),
        ("tools/call", {"name": "plain"}),
        ("resources/read", {"uri": "no://such"}),
        ("completion/complete", {}),
        ("completion/complete", {"ref": {"type": "ref/prompt"}}),
        ("tasks/get", {"taskId": "x"}),
        ("tasks/get", {}),
        ("made/up", {}),
    ],
)
def test_what_has_no_target_is_refused(method, params):
    fields = {k: msgspec.Raw(json.dumps(v).encode()) for k, v in params.items()}
    with pytest.raises(Refusal):
        resolve(method, fields, "", Catalog(), {"a"})


def test_task_ids_name_their_server():
    params = {"taskId": msgspec.Raw(b'"a:t:1"')}
    target = resolve("tasks/get", params, "", Catalog(), {"a"})
    assert (target.server, bytes(target.params["taskId"])) == ("a", b'"t:1"')


@given(st.lists(st.tuples(st.text(), st.none() | st.integers(0, 99)), max_size=5), st.data())
def test_events_survive_any_chunking(events, data):
    frames = [
        Frame(json.dumps(text).encode(), None if id_ is None else str(id_).encode())
        for text, id_ in events
    ]
    wire = b": hello\n\n" + b"".join(f.encode() for f in frames)
    if data.draw(st.booleans()):
        wire = wire.replace(b"\n", b"\r\n")
    parser, got = Parser(10_000), []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        got += parser.feed(wire[:size])
        wire = wire[size:]
    assert [(f.data, f.event_id) for f in got] == [(f.data, f.event_id) for f in frames]


def test_a_server_cannot_smuggle_lines_into_an_event():
    (frame,) = Parser(1000).feed(b"id: 1\rdata: evil\nevent: a\rb\ndata: x\ry\n\n")
    assert b"\r" not in frame.encode()
    assert frame.encode().splitlines() == [
        b"event: ab",
        b"id: 1data: evil",
        b"data: x",
        b"data: y",
        b"",
    ]


def test_an_event_without_end_is_cut_off():
    parser = Parser(1000)
    with pytest.raises(FrameTooLarge):
        for _ in range(100):
            parser.feed(b"data: " + b"x" * 100 + b"\n")
    parser = Parser(1000)
    with pytest.raises(FrameTooLarge):
        parser.feed(b"x" * 2000)


def test_the_breaker_opens_pauses_and_closes(monkeypatch):
    now = 0.0
    monkeypatch.setattr("mcp_gateway.upstreams.base.time.monotonic", lambda: now)
    breaker = Breaker(BreakerSettings(failures=2, open_seconds=10))
    breaker.failed("a")
    assert breaker.admits()
    breaker.failed("b")
    assert (breaker.state, breaker.admits()) == ("open", False)
    now = 10.0
    assert (breaker.admits(), breaker.admits()) == (True, False)  # one try at a time
    breaker.failed("c")
    assert not breaker.admits()
    now = 20.0
    assert breaker.admits()
    breaker.abandoned()
    assert breaker.admits()
    breaker.succeeded()
    assert breaker.state == "closed"


async def test_the_gate_hands_slots_on_and_loses_none():
    import asyncio

    gate = Gate(1)
    assert await gate.enter(1)
    waiting = [asyncio.create_task(gate.enter(5)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    gate.leave()
    assert await waiting[1]
    gate.leave()
    assert await waiting[2]
    gate.leave()
    assert gate.busy == 0
    assert await gate.enter(1)
    assert not await gate.enter(0.01)


async def test_one_caller_leaves_slots_at_a_gate_to_others():
    import asyncio

    gate = Gate(4)
    assert [await gate.enter(0.01, "ada") for _ in range(4)] == [True] * 3 + [False]
    waiting = [asyncio.create_task(gate.enter(5, name)) for name in ("ada", "bob", "bob")]
    await asyncio.sleep(0)
    assert gate.busy == 4  # bob has the fourth one; ada and bob wait
    gate.leave("bob")
    assert await waiting[1] and await waiting[2]
    gate.leave("ada")
    assert await waiting[0]
    for name in ("ada", "ada", "ada", "bob"):
        gate.leave(name)
    assert gate.busy == 0 and not +gate._by_caller


def test_header_values_are_wrapped_when_they_must_be():
    assert header_value("plain name") == "plain name"
    for value in (" edge", "grün", "line\nbreak", "=?base64?eA==?="):
        assert header_value(value).startswith("=?base64?")


def test_arguments_that_a_schema_marks_become_headers():
    schema = {
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"properties": {"flag": {"type": "boolean", "x-mcp-header": "Flag"}}},
            "n": {"type": "number", "x-mcp-header": "No"},
            "evil": {"type": "string", "x-mcp-header": "A\r\nX-Injected"},
            "absent": {"type": "string", "x-mcp-header": "Absent"},
        }
    }
    mapping = translate.header_map(schema)
    arguments = {"region": "eu", "evil": "x", "deep": {"flag": True}, "n": 1}
    headers = translate.param_headers(mapping, arguments)
    assert headers == [("Mcp-Param-Region", "eu"), ("Mcp-Param-Flag", "true")]


def test_modern_members_do_not_reach_legacy_servers():
    params = {
        "name": msgspec.Raw(b'"t"'),
        "requestState": msgspec.Raw(b'"s"'),
        "inputResponses": msgspec.Raw(b"{}"),
        "_meta": msgspec.Raw(
            b'{"io.modelcontextprotocol/protocolVersion":"x","progressToken":1,"mine/x":2}'
        ),
    }
    out = translate.params_to_legacy(params)
    assert set(out) == {"name", "_meta"}
    assert json.loads(bytes(out["_meta"])) == {"progressToken": 1, "mine/x": 2}
