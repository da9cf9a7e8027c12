"""One audit line a call, metrics from a closed set, no secrets in either."""

from __future__ import annotations

import hashlib

from support import KEY, Legacy, Modern, Scripted, gateway, http, plain, sha256

MONITORING = "key-of-the-monitoring"
SCRAPE = {"authorization": f"Bearer {MONITORING}"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


def setup(tmp_path, **sections):
    keys = [{"alias": "ada", "team": "blue", "sha256": sha256(KEY)}]
    (tmp_path / "monitoring").write_text(MONITORING)
    return {
        "auth": {"static_keys": keys, "monitoring_key_file": str(tmp_path / "monitoring")},
        "audit": {"file": str(tmp_path / "audit")},
        **sections,
    }


async def test_a_call_leaves_one_line_that_tells_who_what_and_how(tmp_path):
    async with gateway({"one": plain()}, **setup(tmp_path)) as gw:
        await gw.up()
        client = Modern(gw, key=KEY)
        client.headers["traceparent"] = TRACE
        answer = await client.send(
            "tools/call", {"name": "one__echo", "arguments": {"text": "secret words"}}
        )
        (line,) = gw.audit()
        assert {k: line[k] for k in ("caller", "team", "era", "server", "method", "name")} == {
            "caller": "ada",
            "team": "blue",
            "era": "modern",
            "server": "one",
            "method": "tools/call",
            "name": "echo",
        }
        assert line["status"] == "ok" and line["ms"] > 0
        assert line["bytes_out"] == len(answer.content)
        assert line["request_id"] == answer.headers["x-request-id"]
        assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
        digest = hashlib.sha256(b'{"text":"secret words"}').hexdigest()
        assert line["arguments_sha256"] == digest
        assert line["time"].endswith("Z")
        text = (tmp_path / "audit").read_text()
        assert "secret words" not in text and KEY not in text


async def test_every_way_to_fail_is_recorded(tmp_path):
    rules = [{"name": "no", "effect": "deny", "tools": ["pid"]}]
    async with gateway({"one": plain()}, **setup(tmp_path, policy={"rules": rules})) as gw:
        await gw.up()
        client = Modern(gw, key=KEY)
        await client.call("one__pid")
        await client.call("one__error")
        await client.call("one__echo", text='"isError":true')
        await client.call("one__echo", fails=True)
        await client.call("nobody__x")
        await Modern(gw, key="wrong").send("tools/list")
        await gw.http.post("/mcp", content=b"{", headers={"authorization": f"Bearer {KEY}"})
        lines = gw.audit()
        assert [(li["status"], li["error"]) for li in lines] == [
            ("refused", "policy"),
            ("error", "rpc_error"),
            ("ok", ""),
            ("tool_error", "tool_error"),
            ("refused", "unknown"),
            ("refused", "envelope"),
        ]
        assert lines[0]["rule"] == "rule 'no'"
        metrics = (await gw.http.get("/metrics", headers=SCRAPE)).text
        assert 'mcp_gateway_errors_total{kind="policy",server="one"} 1.0' in metrics
        labels = 'era="modern",method="tools/call",server="one",status="refused"'
        assert f"mcp_gateway_requests_total{{{labels}}} 1.0" in metrics


async def test_a_message_cannot_hide_from_the_audit_or_fill_it(tmp_path):
    async with gateway({"one": plain()}, **setup(tmp_path, policy={"default": "deny"})) as gw:
        await gw.up()
        client = Legacy(gw, key=KEY)
        await client.initialize()
        before = len(gw.audit())
        for params in ([1], 7, "x"):
            odd = {"jsonrpc": "2.0", "id": "gp.x", "result": {}, "params": params}
            assert (await client.post(odd)).status_code == 400
        assert [line["method"] for line in gw.audit()[before:]] == ["response"] * 3
        denied = Legacy(gw, "/servers/one/mcp", key=KEY, version="v" * 100_000)
        assert "error" in await denied.initialize()
        assert gw.audit()[-1]["status"] == "refused"
        assert all(len(line) < 2000 for line in (tmp_path / "audit").read_text().splitlines())


async def test_a_client_cannot_make_the_metrics_grow():
    async with gateway({"one": plain()}) as gw:
        client = Modern(gw)
        await client.send("made/up-0")
        before = len((await gw.http.get("/metrics")).text.splitlines())
        for i in range(30):
            await client.send(f"made/up-{i}")
            await client.call(f"nobody{i}__x")
            await Modern(gw, f"/servers/nobody{i}/mcp").send("tools/list")
        after = len((await gw.http.get("/metrics")).text.splitlines())
        assert after - before < 40


async def test_calls_of_tools_are_counted_by_tool_and_by_team(tmp_path):
    async with gateway({"one": plain()}, **setup(tmp_path)) as gw:
        await gw.up()
        client = Modern(gw, key=KEY)
        for tool in ("echo", "made-up-1", "made-up-2", "echo"):
            await client.call(f"one__{tool}", text="x")
        await Modern(gw, key="wrong").call("one__echo", text="x")
        metrics = (await gw.http.get("/metrics", headers=SCRAPE)).text
        counted = 'mcp_gateway_tool_seconds_count{server="one",status="%s",tool="%s"} %s.0'
        assert counted % ("ok", "echo", 2) in metrics
        assert counted % ("ok", "other", 2) in metrics and "made-up" not in metrics
        team = 'mcp_gateway_team_calls_total{server="one",status="ok",team="blue"} 4.0'
        assert team in metrics, "a stranger's call is of no team"


async def test_sessions_streams_and_calls_are_counted(sdk):
    async with gateway({"one": http(sdk.url)}) as gw:
        client = Legacy(gw)
        await client.initialize()
        async with gw.http.stream("GET", "/mcp", headers=client.headers):
            metrics = (await gw.http.get("/metrics")).text
            assert "mcp_gateway_sessions 1.0" in metrics
            assert "mcp_gateway_streams 1.0" in metrics
        metrics = (await gw.http.get("/metrics")).text
        assert 'mcp_gateway_request_seconds_bucket{le="0.005",server="-"}' in metrics


async def test_trace_context_goes_on_to_the_server():
    async with Scripted() as up, gateway({"one": http(up.url)}) as gw:
        await gw.up()
        client = Modern(gw)
        client.headers |= {"traceparent": TRACE, "tracestate": "a=b", "baggage": "k=v"}
        await client.call("one__act")
        headers = up.seen[-1][1]
        assert headers["traceparent"] == TRACE
        assert (headers["tracestate"], headers["baggage"]) == ("a=b", "k=v")


async def test_upstream_credentials_are_in_no_log_and_no_page(tmp_path, caplog):
    caplog.set_level("DEBUG")
    (tmp_path / "token").write_text("very-secret-upstream-token")
    secret = {"headers_from_files": {"Authorization": {"file": str(tmp_path / "token")}}}
    upstreams = {"dead": http("http://127.0.0.1:9/mcp", **secret)}
    async with gateway(upstreams, **setup(tmp_path)) as gw:
        await Modern(gw, key=KEY).call("dead__x")
        pages = [await gw.http.get(path, headers=SCRAPE) for path in ("/", "/metrics")]
        shown = pages[0].text + pages[1].text
        assert "dead" in pages[0].text and "dead" in pages[1].text
        gw.audit()
        assert "very-secret" not in shown + caplog.text + (tmp_path / "audit").read_text()
        assert KEY not in shown + caplog.text


async def test_a_full_audit_queue_is_counted_not_waited_for(tmp_path):
    audit = {"file": str(tmp_path / "audit"), "max_queue_lines": 0}
    async with gateway({"one": plain()}, audit=audit) as gw:
        assert (await Modern(gw).send("tools/list")).status_code == 200
        assert "mcp_gateway_audit_dropped_total 1.0" in (await gw.http.get("/metrics")).text
