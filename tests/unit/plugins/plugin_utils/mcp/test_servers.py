# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp.servers import (
    gateway_upstreams,
    header_secrets,
    merge,
    offered,
    token_secrets,
    tool_services,
)

BUILTIN = {"filesystem": {"image": "tool-filesystem", "command": ["serve"], "port": 8101}}


def test_own_entries_overlay_the_built_in_ones_key_by_key():
    merged = merge(BUILTIN, {"filesystem": {"port": 9000}})
    assert merged["filesystem"] == {"image": "tool-filesystem", "command": ["serve"], "port": 9000}


def test_another_image_of_a_built_in_server_starts_its_own_program():
    image = "registry.example.internal/files:1"
    merged = merge(BUILTIN, {"filesystem": {"image": image}})
    assert merged["filesystem"] == {"image": image, "port": 8101}
    assert (
        "url"
        in merge(BUILTIN, {"filesystem": {"url": "https://files.example.internal"}})["filesystem"]
    )


def test_a_built_in_server_can_be_switched_off():
    assert merge(BUILTIN, {"filesystem": {"enabled": False}}) == {}


def test_merging_leaves_the_built_in_entries_alone():
    merge(BUILTIN, {"filesystem": {"port": 9000}})
    assert BUILTIN["filesystem"]["port"] == 8101


def test_a_remote_server_needs_no_port():
    assert "wiki" in merge({}, {"wiki": {"url": "https://mcp.example.internal/mcp"}})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"pip": "a==1", "command": ["a"], "port": 1, "prot": 2}, "unknown key 'prot'"),
        ({"pip": "a==1", "command": "a", "port": 1}, "expected list: the program"),
        ({"pip": "a==1", "command": ["a"], "port": True}, "expected int"),
        ({"command": ["a"], "port": 1}, "exactly one of url, image, npm, pip; found none"),
        ({"pip": "a==1", "npm": "a@1", "command": ["a"], "port": 1}, "found npm and pip"),
        ({"pip": "a==1", "port": 1}, "missing command"),
        ({"pip": "a==1", "command": ["a"]}, "missing port"),
        ({"url": "http://x", "mode": "often"}, "expected shared or per_session"),
        ({"url": "http://x", "egress": ["10.0.0.1/8"]}, "egress: '10.0.0.1/8' .*; expected intern"),
        ("tickets", "expected a mapping"),
        ({"image": "tool-own", "port": 1}, "missing command"),
        ({"pip": "a==1", "command": ["a"], "port": 1, "args": ["x"]}, "args belongs to image"),
        (
            {"pip": "a==1", "command": ["a"], "port": 1, "http_path": "/"},
            "http_path belongs to image",
        ),
        ({"image": "o:1", "port": 1, "http_port": 8082}, "http_port belongs to http_path"),
        ({"image": "o:1", "port": 1, "http_path": "mcp"}, "starts with /"),
        ({"image": "o:1", "port": 1, "command": ["a"], "args": []}, "expected one of them"),
        ({"url": "http://x", "headers": {"X-Key": "a", "x-key": "b"}}, "x-key twice"),
        ({"url": "http://x", "headers": {"../x": "a"}}, "'../x'; expected a header's name"),
        ({"url": "http://x", "headers": {1: "a"}}, "1; expected a header's name"),
        ({"image": "o:1", "port": 1, "user": "0:0"}, "not root's"),
        ({"image": "o:1", "port": 1, "user": "1000:0"}, "not root's"),
        ({"image": "o:1", "port": 1, "user": "1000:00"}, "not root's"),
        ({"image": "o:1", "port": 1, "user": "node"}, "expected numbers 'uid:gid'"),
        ({"image": "o:1", "port": 1, "volumes": {"/bridge/x": "/srv"}}, "/bridge/x'.* is taken"),
        ({"image": "o:1", "port": 1, "volumes": {"//secrets": "/srv"}}, "//secrets'.* is taken"),
        ({"image": "o:1", "port": 1, "volumes": {"/x/../bridge": "/srv"}}, "x/../bridge'.* is tak"),
        ({"image": "o:1", "port": 1, "volumes": {"/": "/srv"}}, "'/' is taken"),
        (
            {"image": "o:1", "port": 1, "volumes": {"/x/..": "/srv"}},
            r"'/x/\.\.', which is '/', is tak",
        ),
        ({"image": "o:1", "port": 1, "volumes": {"/proc": "/srv"}}, "'/proc' is taken"),
        ({"image": "o:1", "port": 1, "volumes": {"/sys/fs": "/srv"}}, "'/sys/fs' is taken"),
        ({"image": "o:1", "port": 1, "volumes": {"data": "/srv"}}, "'data'; expected a path that"),
        (
            {"image": "o:1", "port": 1, "volumes": {"/a:/b": "/srv"}},
            "'/a:/b'; expected a path that",
        ),
        ({"image": "o:1", "port": 1, "volumes": {1: "/srv"}}, "1; expected a path that"),
        ({"image": "o:1", "port": 1, "volumes": {"/a": 1}}, "/a is 1; expected a directory of the"),
        ({"image": "o:1", "port": 1, "volumes": {"/a": "/x", "/a/": "/y"}}, "'/a/' twice"),
        (
            {"image": "o:1", "port": 1, "http_path": "/", "secrets": {"token": "x"}},
            "'token'.* taken",
        ),
        (
            {"image": "o:1", "port": 1, "secrets": {"../x": "y"}},
            "'../x'; expected the name of an env",
        ),
        (
            {"image": "o:1", "port": 1, "secrets": {1: "y"}},
            "1; expected the name of an environment",
        ),
    ],
)
def test_a_wrong_entry_is_refused_with_the_remedy(entry, message):
    with pytest.raises(Unusable, match=message):
        merge({}, {"tickets": entry})


@pytest.mark.parametrize("name", ["Tickets", "a__b", "-a", "a" * 40, "a/b"])
def test_a_name_that_cannot_prefix_tools_is_refused(name):
    with pytest.raises(Unusable, match="use up to 32"):
        merge({}, {name: {"url": "http://x"}})


DEFAULTS = {"user": "10001:10001", "memory_mb": 512, "pids": 256}
TICKETS = {
    "pip": "tickets==1",
    "command": ["tickets", "--stdio"],
    "port": 8110,
    "secrets": {"TICKETS_TOKEN": "s3cret"},
    "volumes": {"/data": "/srv/data", "/out": "/srv/out:rw"},
}


def test_a_stdio_server_runs_behind_a_bridge_that_reads_its_secrets_from_files():
    (service,) = tool_services({"tickets": TICKETS}, {"tickets": "t0ken"}, DEFAULTS)
    bridge = json.loads(service["files"]["bridge.yml"])
    upstream = bridge["upstreams"]["tickets"]
    assert (upstream["command"], upstream["args"]) == ("tickets", ["--stdio"])
    assert upstream["env_from"] == {"TICKETS_TOKEN": {"file": "/secrets/TICKETS_TOKEN"}}
    assert service["secrets"] == {"TICKETS_TOKEN": "s3cret"}
    assert "s3cret" not in service["files"]["bridge.yml"]


def test_a_server_cannot_read_the_token_that_its_bridge_is_called_with():
    """It runs as the same user: whatever is a file of the bridge is its own."""
    (service,) = tool_services({"tickets": TICKETS}, {"tickets": "t0ken"}, DEFAULTS)
    assert "t0ken" not in json.dumps(service)
    (key,) = json.loads(service["files"]["bridge.yml"])["auth"]["static_keys"]
    assert key["sha256"] == hashlib.sha256(b"t0ken").hexdigest()


def test_each_server_has_a_token_of_its_own():
    servers = {"tickets": TICKETS, "own": {"image": "o:1", "http_path": "/mcp", "port": 8111}}
    tokens = {"tickets": "t0ken", "own": "0ther"}
    beside = {"images": {"tool-own": {}}, "bridge": "/var/x/bridge/1"}
    own, tickets = tool_services(servers, tokens, DEFAULTS, beside)
    assert "0ther" not in json.dumps(tickets)
    assert own["secrets"] == {"token": "0ther"}, "it has to know what the gateway shows"
    assert token_secrets(tokens) == {"token-tickets": "t0ken", "token-own": "0ther"}
    found = gateway_upstreams(servers, {"tickets": "a:8000", "own": "b:8000"})
    for name, upstream in found.items():
        header = upstream["headers_from_files"]["Authorization"]
        assert header == {"file": f"/secrets/token-{name}", "prefix": "Bearer "}


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        (["*"], ["navigate", "run_code"]),
        (["*", "!run_*"], ["navigate"]),
        (["!run_*"], ["navigate"]),
        (["nav*"], ["navigate"]),
        (["nav*", "!*"], []),
    ],
)
def test_what_is_offered_is_what_the_gateway_lets_through(globs, left):
    """The gateway's own tests (test_policy.py) say the same of its globs."""
    assert offered({"tools": globs}, ["navigate", "run_code"]) == left


def test_host_directories_are_read_only_unless_they_say_otherwise():
    (service,) = tool_services({"tickets": TICKETS}, {"tickets": "t0ken"}, DEFAULTS)
    assert service["binds"] == ["/srv/data:/data:ro", "/srv/out:/out:rw"]


def test_a_directory_of_the_site_gets_selinuxs_label_only_where_the_site_says_so():
    volumes = {"/a": "/srv/a", "/b": "/srv/b:z", "/c": "/srv/c:rw,z", "/d": "/srv/d:rw"}
    servers = merge({}, {"tickets": {**TICKETS, "volumes": volumes}})
    (service,) = tool_services(servers, {"tickets": "t0ken"}, DEFAULTS)
    assert service["binds"] == ["/srv/a:/a:ro", "/srv/b:/b:ro,z", "/srv/c:/c:rw,z", "/srv/d:/d:rw"]
    for wrong in ("/srv/a:Z", "/srv/a:z,rw", "/srv/a:", "/srv/a:ro:z"):
        with pytest.raises(Unusable, match=":rw,z at its end or without"):
            merge({}, {"tickets": {**TICKETS, "volumes": {"/a": wrong}}})


def test_a_path_of_a_container_is_mounted_as_the_kernel_reads_it():
    server = {**TICKETS, "volumes": {"//data/./x/": "/srv/data"}}
    (service,) = tool_services(merge({}, {"tickets": server}), {"tickets": "t0ken"}, DEFAULTS)
    assert service["binds"] == ["/srv/data:/data/x:ro"]


def test_a_secret_of_a_server_behind_the_bridge_may_be_called_token():
    assert merge({}, {"tickets": {**TICKETS, "secrets": {"token": "x"}}})


@pytest.mark.parametrize(("memory_mb", "processes"), [(1536, 6), (100, 1)])
def test_no_more_processes_are_kept_for_callers_than_fit_into_memory(memory_mb, processes):
    server = {**TICKETS, "mode": "per_session", "memory_mb": memory_mb}
    (service,) = tool_services({"tickets": server}, {"tickets": "t"}, DEFAULTS)
    bridge = json.loads(service["files"]["bridge.yml"])
    assert bridge["upstreams"]["tickets"]["max_processes"] == processes


def test_the_gateway_reaches_bridges_remote_and_listening_servers():
    servers = {
        "tickets": TICKETS,
        "own": {"image": "own/server:1", "http_path": "/mcp", "port": 8111},
        "wiki": {"url": "https://wiki.example.internal/mcp", "headers": {"X-Key": "s3cret"}},
    }
    found = gateway_upstreams(servers, {"tickets": "a:8000", "own": "b:8000"})
    assert found["tickets"]["url"] == "http://a:8000/servers/tickets/mcp"
    assert found["own"]["url"] == "http://b:8000/mcp"
    assert found["wiki"]["url"] == "https://wiki.example.internal/mcp"
    assert "s3cret" not in json.dumps(found)
    assert header_secrets(servers) == {"header-wiki_x-key": "s3cret"}


def test_no_server_is_sent_what_another_ones_headers_hold():
    servers = {
        "crm": {"url": "https://crm.example.internal", "headers": {"X-Api-Key": "crm's"}},
        "crm-x": {"url": "https://x.example.internal", "headers": {"Api-Key": "crm-x's"}},
    }
    files = header_secrets(servers)
    for name, upstream in gateway_upstreams(servers, {}).items():
        (header,) = upstream["headers_from_files"].values()
        assert files[header["file"].removeprefix("/secrets/")] == f"{name}'s"


def test_an_image_that_wants_a_credential_gets_it_in_place_of_the_gateways_token():
    headers = {"authorization": "Bearer of-its-own", "X-Toolsets": "repos"}
    servers = {"own": {"image": "o:1", "http_path": "/", "port": 8111, "headers": headers}}
    sent = gateway_upstreams(servers, {"own": "b:8082"})["own"]["headers_from_files"]
    assert {name: secret["file"] for name, secret in sent.items()} == {
        "authorization": "/secrets/header-own_authorization",
        "X-Toolsets": "/secrets/header-own_x-toolsets",
    }
    assert header_secrets(servers)["header-own_authorization"] == "Bearer of-its-own"
