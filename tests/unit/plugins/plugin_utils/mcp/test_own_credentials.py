# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`per_user` of a server: what may be declared, and what gateway, portal and verify make of it."""

from __future__ import annotations

import ast

import pytest
from ansible_collections.intranet.mcp.plugins.action.preflight import own_credential_problems
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify_users
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import own_credentials, servers
from support import REPOSITORY

OWN = {"header": "Authorization", "prefix": "Bearer "}
REMOTE = {"url": "https://mcp.example.internal/mcp", "per_user": OWN}
IMAGE = {"image": "hub:1", "port": 8121, "http_path": "/", "per_user": OWN}
PLATFORM = {"portal": ["app1"], "redis": ["app1"]}


def refused(**entry):
    with pytest.raises(Unusable) as caught:
        servers.merge({}, {"hub": entry})
    text = str(caught.value)
    assert "mcp_servers.hub" in text and "expected" in text and "\n" not in text
    return text


@pytest.mark.parametrize("entry", [REMOTE, IMAGE])
def test_gateway_is_told_where_a_persons_credential_belongs(entry):
    merged = servers.merge({}, {"hub": entry})
    upstream = servers.gateway_upstreams(merged, {"hub": "intranet-hub:8000"})["hub"]
    own = upstream["per_user"]
    assert {**own, "audience": ""} == {**OWN, "audience": ""} and "mode" not in upstream
    assert own["audience"] == own_credentials.audiences(merged)["hub"] != ""
    assert own_credentials.servers_with(merged) == ["hub"]


def test_other_servers_are_as_they_were():
    plain = {"wiki": {"url": "http://mcp.example.internal/mcp"}}
    assert "per_user" not in servers.gateway_upstreams(servers.merge({}, plain), {})["wiki"]
    assert own_credentials.servers_with(plain) == []


def test_prefix_may_be_left_out():
    entry = {**REMOTE, "per_user": {"header": "PRIVATE-TOKEN"}}
    made = servers.gateway_upstreams(servers.merge({}, {"hub": entry}), {})
    audience = "https://mcp.example.internal"
    own = {"header": "PRIVATE-TOKEN", "prefix": "", "audience": audience}
    assert made["hub"]["per_user"] == own


URL = "https://mcp.example.internal/mcp"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"url": URL}, {"url": "HTTPS://MCP.example.internal/other?a=b"}),
        ({"image": "r.example:5000/a/hub:1"}, {"image": "r.example:5000/a/hub@sha256:00"}),
        ({"image": "hub:1", "args": ["http", "--toolsets=a"]}, {"image": "hub:2", "env": {"A": 1}}),
    ],
)
def test_another_version_is_for_the_same(one, other):
    assert own_credentials.audience_of(one) == own_credentials.audience_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"url": URL}, {"url": "https://mcp.example.com/mcp"}),
        ({"url": URL}, {"url": "https://mcp.example.internal:8443/mcp"}),
        ({"url": URL}, {"url": "https://mcp.example.internal@elsewhere.example/mcp"}),
        ({"url": URL}, {"image": "hub:1"}),
        ({"image": "a/hub:1"}, {"image": "b/hub:1"}),
        ({"image": "r.example:5000/hub"}, {"image": "r.example:5001/hub"}),
        *[
            ({"image": "hub:1"}, {"image": "hub:1", **told})
            for told in (
                {"args": ["--gh-host=https://github.example.internal"]},
                {"command": ["hub", "https://github.example.internal/api"]},
                {"env": {"GITLAB_URL": "https://gitlab.example.internal"}},
            )
        ],
    ],
)
def test_credential_for_one_address_is_for_no_other(one, other):
    assert own_credentials.audience_of(one) != own_credentials.audience_of(other)


@pytest.mark.parametrize(
    "source",
    [
        {"pip": "a==1", "command": ["a"], "port": 1},
        {"npm": "a@1", "command": ["a"], "port": 1},
        {"image": "o:1", "port": 1},
        {"image": "tool-own", "command": ["a"], "port": 1},
    ],
)
def test_process_that_all_callers_share_is_refused(source):
    assert "speaks MCP on stdio" in refused(**source, per_user=OWN)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"url": "http://mcp.example.internal/mcp"}, "an https address"),
        ({"mode": "shared"}, "would share a session; expected per_session"),
        ({"expect": {"call": {"tool": "x"}}}, "expected expect.tools alone"),
        ({"per_user": {}}, "header is None"),
        ({"per_user": "Authorization"}, "expected dict"),
        ({"per_user": {"header": "X-A", "value": "secret"}}, "has 'value'; expected header and"),
        ({"per_user": {"header": "X A"}}, "'X A'; expected a header's name"),
        ({"per_user": {"header": "X-A\r\nHost"}}, "expected a header's name"),
        ({"per_user": {"header": 1}}, "header is 1"),
        ({"per_user": {"header": "X-A", "prefix": "a\nb"}}, "visible ASCII"),
        ({"per_user": {"header": "X-A", "prefix": 1}}, "prefix is 1"),
        *[
            ({"per_user": {"header": name}}, "has a meaning already")
            for name in ("Host", "content-length", "Mcp-Session-Id", "Cookie", "X-Forwarded-For")
        ],
    ],
)
def test_declaration_that_could_not_hold_is_refused(changes, text):
    assert text in refused(**{**REMOTE, **changes})


def test_collection_and_gateway_agree_on_headers_that_are_taken():
    path = REPOSITORY / "roles/gateway/files/mcp_gateway/src/mcp_gateway/ownheader.py"
    values = {
        node.targets[0].id: node.value
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
    }
    taken = ast.literal_eval(values["TAKEN"].args[0])
    assert taken == set(own_credentials.TAKEN)
    assert ast.literal_eval(values["TAKEN_BEGINNINGS"]) == own_credentials.TAKEN_BEGINNINGS
    for name, ours in (("NAME", own_credentials._NAME), ("PREFIX", own_credentials._PREFIX)):
        assert ast.literal_eval(values[name].args[0]) == ours.pattern


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        ({"redis": ["app1"]}, "mcp_servers.hub has per_user and group portal has no host"),
        ({"portal": ["app1"]}, "mcp_servers.hub has per_user and group redis has no host"),
        ({"portal": [], "redis": ["app1"]}, "put a host into portal"),
    ],
)
def test_preflight_names_what_the_inventory_lacks(groups, text):
    declared = {"platform_mcp_servers": {"hub": REMOTE}, "groups": groups}
    (problem,) = own_credential_problems(declared, lambda value: value)
    assert text in str(problem) and problem.expected and problem.action


def test_preflight_asks_for_nothing_where_nobody_needs_it():
    elsewhere = {"platform_redis": {"host": "redis.example.internal", "ca_file": "x"}}
    for declared in (
        {"platform_mcp_servers": {"hub": REMOTE}, "groups": {"portal": ["app1"]}, **elsewhere},
        {"platform_mcp_servers": {"hub": REMOTE}, "groups": PLATFORM},
        {"platform_mcp_servers": {"wiki": {"url": "https://x"}}, "groups": {}},
        {"groups": {}},
        {"platform_mcp_servers": "{{ wrong }}", "groups": {}},
    ):
        assert own_credential_problems(declared, lambda value: value) == []


def test_verify_asks_for_the_list_and_calls_nothing():
    """Its key is nobody's: the server's own endpoint would refuse it."""
    url = "http://gateway:8080"
    listed = {**REMOTE, "headers": {"authorization": "Bearer x"}, "expect": {"tools": ["a", "b"]}}
    (probe,) = verify_users.server_probes({"hub": listed}, url, 5)
    assert probe["options"]["url"] == f"{url}/mcp" and "call" not in probe["options"]
    assert probe["options"]["tools_include"] == ["hub__a", "hub__b"]
    (probe,) = verify_users.server_probes({"hub": REMOTE}, url, 5)
    assert probe["kind"] == "not_applicable" and probe["group"] == "Tools"
    plain = {"url": "http://x", "expect": {"tools": ["a"]}}
    both = {"hub": REMOTE, "own": listed, "wiki": plain}
    assert verify_users.aggregated_tools(both) == {"tools_include": ["own__*", "wiki__*"]}
    assert verify_users.url_for_keys({"a": REMOTE, "wiki": plain}, url).endswith("/wiki/mcp")
    assert verify_users.url_for_keys({"a": REMOTE}, url) == f"{url}/mcp"
