# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.intranet.mcp.plugins.modules import preflight


@pytest.fixture
def failures(monkeypatch):
    """Return a function that gives what is wrong with debian://, for a host's own mirror."""

    def ask(mirror):
        monkeypatch.setattr(preflight, "own_debian_mirrors", lambda: (mirror, ""))
        source = {"name": "build", "urls": ["debian://"], "path": None}
        host = preflight.Host({"sources": [source], "source_timeout_seconds": 5})
        return host.source_failures()

    return ask


def test_the_mirror_that_is_asked_is_the_one_builds_will_use(failures, service, closed_port):
    service.replies[("GET", "/debian")] = (403, {})
    assert failures(f"{service.url}/debian") == {}
    assert "refused" in failures(f"{closed_port}/debian")["debian://"]


def test_a_host_without_a_debian_mirror_is_told_what_to_set(failures):
    assert "image_apt_mirror" in failures("")["debian://"]


def test_an_image_from_a_source_that_is_none_any_more_is_asked_for_again(tmp_path):
    """So that a registry that lacks it is found before anything changes."""
    redis, other = "intranet-mcp/redis:8.0", "intranet-mcp/postgres:17"
    record = tmp_path / "images.json"
    origin = {"id": "sha256:1", "way": "build", "digest": "", "asked": []}
    record.write_text(json.dumps({"images": {redis: origin, other: origin}}))
    mirror = {"ways": ["harbor.example/redis:8.0"], "digest": "", "upstream": "", "places": []}
    ways = {redis: mirror, other: {**mirror, "ways": ["build"]}, "intranet-mcp/absent:1": mirror}
    host = preflight.Host({"image_record": str(record), "image_ways": ways})
    assert host.misplaced({redis: {"Id": "sha256:1"}, other: {"Id": "sha256:1"}}) == [redis]
    assert host.misplaced({redis: {"Id": "sha256:2"}}) == [], "it is another image now"


def test_data_whose_secret_is_lost_are_found_before_a_new_one_is_made(tmp_path):
    data = {"postgres_password": str(tmp_path / "data")}
    assert preflight.data_problems(data, "/secrets") == []
    (tmp_path / "data" / "lost+found").mkdir(parents=True)
    assert preflight.data_problems(data, "/secrets") == [], "a disk of its own, still empty"
    (tmp_path / "data" / "PG_VERSION").write_text("17")
    (found,) = preflight.data_problems(data, "/secrets")
    assert "postgres_password is not in /secrets" in found.found
    assert "litellm_salt_key" in found.action and "absent_data" in found.action


REGISTRIES = {
    "registry_logins": [],
    "registry_ca": {},
    "insecure_registries": [],
    "hub_mirrors": [],
    "source_timeout_seconds": 5,
    "socket": "/nowhere",
}


def test_registries_are_asked_through_the_engines_proxy(service, closed_port, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    place = closed_port.partition("://")[2] + "/x/there:1"
    found = preflight.Host({**REGISTRIES, "image_ways": {"there": {"places": [place]}}})
    assert "does not answer" in found.registry_failures(["there"])[place]
    monkeypatch.setattr(preflight, "get", lambda *_asked: ({"HttpProxy": service.url}, 1))
    service.replies[("HEAD", f"{closed_port}/v2/x/there/manifests/1")] = (200, b"")
    assert found.registry_failures(["there"]) == {}
    assert "http_proxy" not in os.environ


def test_a_registry_behind_a_proxy_whose_login_is_hidden_is_left_to_the_engine(
    service, closed_port, monkeypatch
):
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    proxy = service.url.replace("//", "//xxxxx:xxxxx@")
    info = {"HttpProxy": proxy, "HttpsProxy": proxy, "NoProxy": "10.0.0.0/8,127.0.0.0/8"}
    monkeypatch.setattr(preflight, "get", lambda *_asked: (info, 1))
    near = f"{closed_port.partition('://')[2]}/x/near:1"
    ways = {"far": {"places": ["harbor.invalid/x/far:1"]}, "near": {"places": [near]}}
    found = preflight.Host({**REGISTRIES, "image_ways": ways})
    assert list(found.registry_failures(["far", "near"])) == [near]
    assert not service.exchanges


def test_registries_are_asked_for_what_is_missing_alone(service):
    host = service.url.partition("://")[2]
    service.replies[("HEAD", "/v2/x/there/manifests/1")] = (200, b"")
    ways = {
        name: {"places": [f"{host}/x/{name}:1"]} for name in ("there", "missing", "not-asked-for")
    }
    found = preflight.Host({**REGISTRIES, "image_ways": ways})
    place = f"{host}/x/missing:1"
    assert found.registry_failures(["there", "missing"]) == {place: f"{place} is not there"}
    assert not [e for e in service.exchanges if "not-asked-for" in e.path]
    assert found.registry_failures(["unknown"]) == {}
