"""What a caller may use: ordered rules over team, key and group, for lists and calls alike."""

from __future__ import annotations

import pytest
from mcp_gateway.authorize import Authorization, matches
from mcp_gateway.identify import Principal
from mcp_gateway.settings import Policy, Rule
from support import Legacy, Modern, Scripted, gateway, http, next_message, sha256

ADA = Principal(id="1", alias="ada", team="blue", groups=("dev", "ops"))
BOB = Principal(id="2", alias="bob")
KEYS = [
    {"alias": "ada", "sha256": sha256("key-of-ada-000000"), "team": "blue"},
    {"alias": "bob", "sha256": sha256("key-of-bob-000000"), "team": "red"},
]


def decide(who, rules, server="s", kind="tools", name="t", default="deny"):
    return Authorization(Policy(default=default, rules=rules)).decide(who, server, kind, name)


@pytest.mark.parametrize(
    ("value", "globs", "expected"),
    [
        ("a", ["*"], True),
        ("a", [], False),
        ("read_x", ["read_*"], True),
        ("write", ["read_*"], False),
        ("delete", ["!delete"], False),
        ("other", ["!delete"], True),
        ("read_secret", ["read_*", "!*secret"], False),
        ("a\nb", ["a"], False),
        ("a\nb", ["a*"], True),
    ],
)
def test_globs(value, globs, expected):
    assert matches(value, globs) is expected


def test_the_first_matching_rule_decides():
    rules = [
        Rule(name="no", effect="deny", tools=["delete_*"]),
        Rule(name="yes", tools=["*"]),
    ]
    assert not decide(ADA, rules, name="delete_all").allowed
    assert decide(ADA, rules, name="delete_all").reason == "rule 'no'"
    assert decide(ADA, rules, name="read").allowed


@pytest.mark.parametrize(
    ("rule", "ada", "bob"),
    [
        (Rule(name="r", teams=["bl*"]), True, False),
        (Rule(name="r", keys=["bob"]), False, True),
        (Rule(name="r", groups=["ops"]), True, False),
        (Rule(name="r", teams=["*"]), True, False),
        (Rule(name="r"), True, True),
        (Rule(name="r", servers=["other"]), False, False),
        (Rule(name="r", tools=[]), False, False),
    ],
)
def test_whom_a_rule_concerns(rule, ada, bob):
    assert decide(ADA, [rule]).allowed is ada
    assert decide(BOB, [rule]).allowed is bob


def test_without_a_matching_rule_the_default_decides():
    assert decide(ADA, [], default="allow").allowed
    verdict = decide(ADA, [])
    assert (verdict.allowed, verdict.reason) == (False, "policy default: deny")


def test_what_sees_all_and_sees_any_promise():
    """They may say no when it is yes, never the other way round."""
    rule_sets = [
        [],
        [Rule(name="a", effect="deny", tools=["x"])],
        [Rule(name="a", servers=["s"])],
        [Rule(name="a", tools=["x"]), Rule(name="b", effect="deny")],
        [Rule(name="a", effect="deny"), Rule(name="b")],
        [Rule(name="a", teams=["blue"]), Rule(name="b", effect="deny")],
    ]
    for default in ("allow", "deny"):
        for rules in rule_sets:
            policy = Authorization(Policy(default=default, rules=rules))
            for who in (ADA, BOB):
                verdicts = [
                    policy.decide(who, "s", k, n).allowed
                    for k in ("tools", "prompts", "resources")
                    for n in ("x", "y")
                ]
                assert not policy.sees_all(who, "s") or all(verdicts)
                assert policy.sees_any(who, "s") or not any(verdicts)


RULES = [
    {"name": "no-fail", "effect": "deny", "tools": ["fail"], "prompts": [], "resources": []},
    {"name": "no-blob", "effect": "deny", "tools": [], "prompts": [], "resources": ["*blob"]},
    {"name": "blue", "teams": ["blue"], "servers": ["one"]},
]


@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp"])
async def test_lists_and_calls_agree(sdk, path):
    prefix = "one__" if path == "/mcp" else ""
    async with gateway(
        {"one": http(sdk.url, tools=["*", "!exit_now"]), "two": http(sdk.url)},
        auth={"static_keys": KEYS},
        policy={"default": "deny", "rules": RULES},
    ) as gw:
        await gw.up()
        legacy = Legacy(gw, path, key="key-of-ada-000000")
        await legacy.initialize()
        for client in (Modern(gw, path, key="key-of-ada-000000"), legacy):
            names = [t["name"] for t in (await client.ask("tools/list"))["result"]["tools"]]
            assert prefix + "echo" in names
            assert prefix + "fail" not in names and prefix + "exit_now" not in names
            assert not [n for n in names if n.startswith("two__")]
            uris = [r["uri"] for r in (await client.ask("resources/list"))["result"]["resources"]]
            assert uris == ["memo://today"]
            refused = (await client.call(prefix + "fail"))["error"]
            assert "rule 'no-fail'" in refused["message"]
            refused = (await client.call(prefix + "exit_now"))["error"]
            assert "upstreams.one.tools" in refused["message"]
            refused = (await client.ask("resources/read", {"uri": "memo://blob"}))["error"]
            assert "rule 'no-blob'" in refused["message"]


async def test_a_caller_without_any_rule_sees_nothing_and_may_nothing(sdk):
    async with gateway(
        {"one": http(sdk.url)},
        auth={"static_keys": KEYS},
        policy={"default": "deny", "rules": RULES},
    ) as gw:
        await gw.up()
        client = Modern(gw, key="key-of-bob-000000")
        assert (await client.ask("tools/list"))["result"]["tools"] == []
        assert (await client.ask("resources/list"))["result"]["resources"] == []
        assert "policy default: deny" in (await client.call("one__echo"))["error"]["message"]
        single = Modern(gw, "/servers/one/mcp", key="key-of-bob-000000")
        assert (await single.ask("tools/list"))["error"]["message"].startswith("server one")
        assert (await single.ask("server/discover"))["error"]
        legacy = Legacy(gw, "/servers/one/mcp", key="key-of-bob-000000")
        assert "error" in await legacy.initialize()


async def test_subscribing_and_completing_are_governed_too(sdk):
    rules = [{"name": "no", "effect": "deny", "tools": []}]
    async with gateway({"one": http(sdk.url)}, policy={"rules": rules}) as gw:
        await gw.up()
        client = Legacy(gw)
        await client.initialize()
        for method in ("resources/subscribe", "resources/read"):
            assert "rule 'no'" in str(await client.ask(method, {"uri": "memo://today"}))
        params = {
            "ref": {"type": "ref/prompt", "name": "one__greet"},
            "argument": {"name": "name", "value": "A"},
        }
        assert "rule 'no'" in str(await client.ask("completion/complete", params))


@pytest.mark.parametrize("method", ["Tools/call", "files/delete", "tools"])
async def test_who_may_use_some_tools_sends_no_method_that_policy_does_not_know(method):
    rule = {"name": "some", "keys": ["ada"], "tools": ["act"], "prompts": [], "resources": []}
    policy = {"default": "deny", "rules": [rule, {"name": "all", "keys": ["bob"]}]}
    async with (
        Scripted() as up,
        gateway({"one": http(up.url)}, auth={"static_keys": KEYS}, policy=policy) as gw,
    ):
        await gw.up()
        path = "/servers/one/mcp"
        ada, bob = (Modern(gw, path, key=f"key-of-{n}-000000") for n in ("ada", "bob"))
        assert "result" in await ada.call("act")
        answer = await ada.ask(method, {"name": "delete"})
        assert answer["error"]["code"] == -31001, answer
        assert method not in [message.get("method") for message, _ in up.seen]
        await bob.ask(method, {"name": "delete"})
        assert method in [message.get("method") for message, _ in up.seen]


async def test_a_second_spelling_of_the_name_does_not_reach_the_server():
    """Go servers would take the last of both, whatever its case: not what policy looked at."""
    rules = [{"name": "no", "effect": "deny", "tools": ["delete"]}]
    async with Scripted() as up, gateway({"one": http(up.url)}, policy={"rules": rules}) as gw:
        await gw.up()
        client = Modern(gw, "/servers/one/mcp")
        answer = await client.send("tools/call", {"name": "act", "Name": "delete"})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == -32600
        assert "tools/call" not in [message.get("method") for message, _ in up.seen]
        assert "result" in await client.call("act")


FILES = [
    {
        "name": "no-secrets",
        "effect": "deny",
        "resources": [
            "file:///secret/*",
            "file:///keys/*.pem",
            "memo://today",
            "https://wiki.example/secret",
        ],
    },
]


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("file:///public/a%20b", True),
        ("file:///public/caf%C3%A9", True),
        ("memo://day/monday?full=1", True),
        ("memo://tomorrow", True),
        ("file:///secret/x", False),
        ("file:///public/../secret/x", False),
        ("file:///public/%2e%2e/secret/x", False),
        ("file:///public/%252e%252e/secret/x", False),
        ("file:///public/..%2fsecret/x", False),
        ("file:///public/..\\secret\\x", False),
        ("file:///public/%5c..%5csecret", False),
        ("file:///./secret/x", False),
        ("file:///%73ecret/x", False),
        ("file:///%2573ecret/x", False),
        ("file:////secret/x", False),
        ("file:///secret%2Fx", False),
        ("FILE:///secret/x", False),
        ("memo://TODAY", False),
        ("memo://today#x", False),
        ("memo://toda%79", False),
        ("memo://today%00", False),
        ("memo://x/%25252525252e", False),
        (" memo://today", False),
        ("memo://today ", False),
        ("file:/secret/x", False),
        ("file:secret/x", False),
        ("file://localhost/secret/x", False),
        ("file://elsewhere/secret/x", False),
        ("file:///secret/x?", False),
        ("file:///keys/a.pem?", False),
        ("file://localhost/public/x?y", True),
        ("https://wiki.example/public", True),
        ("https://wiki.example/secret", False),
        ("https:wiki.example/secret", False),
        ("https:///wiki.example/secret", False),
        ("https://me@wiki.example/secret", False),
        ("https://wiki.example:443/secret", False),
        ("https://wiki.example.:443/%73ecret", False),
    ],
)
def test_policy_judges_every_way_to_read_a_uri(uri, allowed):
    rules = [Rule(**rule) for rule in FILES]
    who = Principal(id="1", alias="ada")
    verdict = Authorization(Policy(rules=rules)).decide(who, "one", "resources", uri)
    assert verdict.allowed == allowed, verdict
    # Where policy has nothing to say about resources, the server alone decides.
    assert Authorization(Policy()).decide(who, "one", "resources", uri).allowed


async def test_resources_are_refused_however_they_are_written(sdk):
    policy = {"rules": [{"name": "no", "effect": "deny", "resources": ["memo://today"]}]}
    async with gateway({"one": http(sdk.url)}, policy=policy) as gw:
        await gw.up()
        legacy = Legacy(gw, "/servers/one/mcp")
        await legacy.initialize()
        for client in (legacy, Modern(gw, "/servers/one/mcp"), Modern(gw)):
            read = await client.ask("resources/read", {"uri": "memo://day/monday"})
            assert read["result"]["contents"][0]["text"] == "note of monday"
            for uri in ("memo://today", "MEMO://today", "memo://toda%79", "memo://today/../today"):
                answer = await client.ask("resources/read", {"uri": uri})
                assert answer["error"]["code"] in (-31001, -32602), (uri, answer)


async def test_nobody_listens_to_resources_that_policy_refuses(sdk):
    policy = {"rules": [{"name": "no", "effect": "deny", "resources": ["memo://today"]}]}
    async with gateway({"one": http(sdk.url)}, policy=policy) as gw:
        await gw.up()
        client = Modern(gw, "/servers/one/mcp")
        for uri in ("memo://today", "memo://toda%79", 3):
            wanted = {"notifications": {"resourceSubscriptions": ["memo://day/x", uri]}}
            answer = (await client.send("subscriptions/listen", wanted)).json()
            assert answer["error"]["code"] in (-31001, -32602), answer
        for odd in ("resourcesubscriptions", "ResourceSubscriptions"):
            wanted = {"notifications": {"resourceSubscriptions": [], odd: ["memo://today"]}}
            assert (await client.send("subscriptions/listen", wanted)).status_code == 400
        wanted = {"notifications": {"resourceSubscriptions": ["memo://day/x"]}}
        listen = client.build("subscriptions/listen", wanted)
        async with gw.http.stream("POST", client.path, **listen) as stream:
            assert (await next_message(stream.aiter_lines()))["method"].endswith("acknowledged")
