# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import http.server
import json
import os
import socketserver
import threading
import urllib.parse

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import specs
from ansible_collections.intranet.mcp.plugins.modules import service_state

SECRET = "s3cret-value"
DEFINITION = {
    "name": "redis",
    "image": "redis",
    "user": "999:999",
    "command": ["redis-server"],
    "files": {"redis.conf": "port 6379\n"},
    "secrets": {"password": SECRET},
    "health": {"command": ["redis-cli", "ping"]},
    "memory_mb": 64,
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each path of the engine with what the test put there."""

    def log_message(self, *_arguments):
        pass

    def address_string(self):
        return "socket"

    def do_GET(self):
        path, _mark, query = self.path.partition("?")
        self.server.asked.append((path, urllib.parse.parse_qs(query)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.has[path]).encode())


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """An engine without containers; `has` says what it answers."""
    path = str(tmp_path / "docker.sock")
    server = socketserver.ThreadingUnixStreamServer(path, Handler)
    server.asked = []
    server.has = {
        "/containers/json": [],
        "/images/json": [{"RepoTags": ["redis:8"], "Id": "sha256:1"}],
        "/networks": [],
        "/version": {"ApiVersion": "1.45"},
    }
    monkeypatch.setattr(service_state, "SOCKET", path)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def found(tmp_path):
    """What the role `service` makes of the definition on this host."""
    context = {
        "prefix": "intranet-",
        "config_dir": str(tmp_path / "config"),
        "data_dir": str(tmp_path / "data"),
        "owner": "redis",
        "images": {"redis": "redis:8"},
        "services": {"redis": {"networks": [{"name": "net-redis", "interface": "redis-1"}]}},
    }
    spec = specs([DEFINITION], context)
    for entry in (e for s in spec for kind in ("directories", "files", "secrets") for e in s[kind]):
        # Only root may give files away.
        entry.update(owner=str(os.geteuid()), group=str(os.getegid()))
    return spec


@pytest.fixture
def run(run_module, found):
    def call(check=False, **options):
        given = {"owner": "redis", "specs": found, "container_prefix": "intranet-", **options}
        # As Ansible sends them: the module may not change what belongs to the test.
        return run_module("service_state", check=check, **json.loads(json.dumps(given)))

    return call


def running(spec):
    return {
        "Names": ["/" + spec["container"]["name"]],
        "Labels": spec["container"]["labels"],
        "State": "running",
        "Status": "Up 2 minutes (healthy)",
        "ImageID": "sha256:1",
    }


def test_files_are_written_and_missing_containers_and_networks_are_named(run, engine, tmp_path):
    result = run(directories=[{"path": str(tmp_path / "place"), "mode": "0700"}])
    assert result["changed"] and result["has_engine"]
    assert [(c["name"], c["reason"]) for c in result["create"]] == [
        ("intranet-redis", "is not there")
    ]
    assert [network["name"] for network in result["networks"]] == ["net-redis"]
    assert (tmp_path / "config/redis/config/redis.conf").read_text() == "port 6379\n"
    assert (tmp_path / "place").is_dir()


def test_what_is_as_it_must_be_changes_nothing(run, engine, found):
    run()
    engine.has["/containers/json"] = [running(found[0])]
    engine.has["/networks"] = [{"Name": "net-redis"}]
    result = run()
    assert not result["changed"]
    assert result["unchanged"] == ["intranet-redis"]
    assert not any(result[key] for key in ("create", "remove", "stop", "networks"))


def test_check_mode_writes_nothing_and_compares_all_the_same(run, engine, tmp_path):
    result = run(check=True)
    assert result["changed"] and result["create"]
    assert not (tmp_path / "config").exists()


def test_the_host_is_listed_where_that_is_asked_for(run, engine, found):
    engine.has["/containers/json"] = [running(found[0])]
    engine.has["/networks"] = [{"Name": "net-redis", "Labels": {"a": "b"}, "Id": "1"}]
    assert "containers" not in run()
    result = run(owner="", specs=[], list_host=True)
    assert [c["Names"] for c in result["containers"]] == [["/intranet-redis"]]
    assert result["host_networks"] == [{"Name": "net-redis", "Labels": {"a": "b"}}]
    assert not result["changed"] and not result["remove"]


def test_only_this_platforms_containers_are_asked_for(run, engine):
    run(container_prefix="a.b-")
    (asked,) = (query for path, query in engine.asked if path == "/containers/json")
    assert json.loads(asked["filters"][0]) == {
        "label": ["intranet.mcp.owner"],
        "name": [r"^/a\.b\-"],
    }
    assert asked["all"] == ["1"]


def test_a_host_without_an_engine_runs_nothing_where_that_may_be(run, tmp_path, monkeypatch):
    monkeypatch.setattr(service_state, "SOCKET", str(tmp_path / "none"))
    result = run(check=True, may_lack_engine=True)
    assert not result["has_engine"] and result["create"]
    failed = run(check=True)
    assert failed["failed"] and failed["error"]["reason"] == "engine"


def test_definitions_of_several_owners_are_kept_together_without_secrets(run, engine, found):
    result = run(defined={"postgres": {"postgres": {"hash": "1"}}})
    assert list(result["defined"]) == ["postgres", "redis"]
    assert result["defined"]["redis"]["redis"]["hash"] == found[0]["hash"]


def test_secrets_show_up_nowhere(run, engine, found):
    assert SECRET in json.dumps(found)
    assert SECRET not in json.dumps(run())
    found[0]["files"][0]["path"] = "relative"
    failed = run()
    assert failed["failed"] and SECRET not in json.dumps(failed)
