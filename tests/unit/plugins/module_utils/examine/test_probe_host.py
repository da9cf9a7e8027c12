# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.engine import definition as service
from ansible_collections.intranet.mcp.plugins.module_utils.engine import docker
from ansible_collections.intranet.mcp.plugins.module_utils.examine import containers, probe_host


def statuses(rows):
    return [found.status for found in rows]


def spec(name, digest="1", image="i:1"):
    return {"name": name, "hash": digest, "image": image}


def container(digest="1", state="running", status="Up", image_id="sha256:1"):
    labels = {service.LABEL_HASH: digest}
    return {"Labels": labels, "State": state, "Status": status, "ImageID": image_id}


IDS = {"i:1": "sha256:1"}


def test_what_runs_as_defined_has_not_drifted():
    assert probe_host.drift([spec("a")], {"a": container()}, IDS) == []


@pytest.mark.parametrize("running", [{}, {"a": container(state="exited")}])
def test_what_does_not_run_is_another_checks_question(running):
    assert probe_host.drift([spec("a")], running, IDS) == []


@pytest.mark.parametrize(
    ("running", "drifted"),
    [
        ({"a": container(digest="2")}, "a: definition or configuration changed"),
        ({"a": container(digest="2", state="exited")}, "a: definition or configuration changed"),
        ({"a": container(image_id="sha256:2")}, "a: image changed"),
        ({"a": container(), "b": container()}, "b: no longer defined"),
    ],
)
def test_what_is_there_otherwise_than_defined_has_drifted(running, drifted):
    assert probe_host.drift([spec("a")], running, IDS) == [drifted]


class Engine:
    """An engine with these containers, by service: each with its state and the hash it was made by.

    As the engine lists them, and as it describes each.
    """

    def __init__(self, **found):
        self.found = found

    def json(self, resource):
        if resource.startswith("/images"):
            return [{"Id": "sha256:1", "RepoTags": ["i:1"]}]
        if resource == containers.LISTED:
            return [self.listed(name, *about) for name, about in self.found.items()]
        state, _digest = self.found[resource.split("/")[2]]
        return {
            "State": {"Status": state, "ExitCode": 3, "OOMKilled": False},
            "Image": "sha256:1",
            "RestartCount": 0,
            "Config": {"Image": "i:1", "Env": []},
            "HostConfig": {"PortBindings": {}, "LogConfig": {"Type": "x", "Config": None}},
            "NetworkSettings": {"Networks": {}},
            "memory_stats": {},
        }

    @staticmethod
    def listed(name, state, digest):
        labels = {service.LABEL_OWNER: name, service.LABEL_SERVICE: name}
        return {
            **container(digest, state),
            "Id": name,
            "Names": [f"/x-{name}"],
            "Labels": {**labels, service.LABEL_HASH: digest},
        }

    def log(self, _id, _lines):
        return ["no space left on device"]


def as_defined(monkeypatch, **found):
    monkeypatch.setattr(probe_host.docker, "Engine", lambda _socket: Engine(**found))
    defined = [{**spec(name), "files": {}} for name in ("a", "b")]
    params = {"defined": defined, "prefix": "x-", "socket": "", "files": {}}
    return probe_host.as_defined("here", params)


def test_what_runs_as_defined_passes(monkeypatch):
    rows = as_defined(monkeypatch, a=("running", "1"), b=("running", "1"))
    assert [(row.check, row.status) for row in rows] == [
        ("containers here", "passed"),
        ("drift here", "passed"),
    ]


def test_a_container_that_stopped_fails_though_its_definition_changed_too(monkeypatch):
    runs, drift = as_defined(monkeypatch, a=("exited", "2"))
    assert runs.found == "x-a is stopped (exit status 3): its disk is full; x-b is not there"
    assert runs.action.startswith("make room on the disk; run the playbook")
    assert drift.found == "a: definition or configuration changed"


def test_an_engine_that_does_not_tell_is_named_and_no_container_called_missing(monkeypatch):
    def late(_engine, _id, _peers):
        raise docker.EngineError("the Docker engine does not answer", "an answer", "check its load")

    monkeypatch.setattr(probe_host.containers, "read", late)
    runs, _drift = as_defined(monkeypatch, a=("running", "1"), b=("running", "1"))
    assert runs.status == "failed" and runs.action == "check its load"
    assert runs.found.startswith("x-a: the Docker engine does not answer")


def test_a_definitions_summary_has_digests_and_no_secrets():
    definition = {
        "name": "redis",
        "image": "redis",
        "user": "1:1",
        "command": ["redis-server"],
        "files": {"a.conf": "port 1"},
        "secrets": {"password": "hunter2"},
        "health": {"command": ["true"]},
        "memory_mb": 64,
    }
    context = {
        "prefix": "x-",
        "config_dir": "/etc/x",
        "data_dir": "/data",
        "owner": "redis",
        "images": {"redis": "intranet-mcp/redis:8"},
        "services": {"redis": {"networks": [{"name": "n-redis", "interface": "redis-1"}]}},
    }
    specs = service.specs([definition], context)
    found = service.summary(specs)["redis"]
    assert found["hash"] == specs[0]["hash"] and found["image"] == "intranet-mcp/redis:8"
    assert list(found["files"]) == ["/etc/x/redis/config/a.conf"]
    assert "hunter2" not in json.dumps(found)


NEIGHBOURS = [
    {"host": "app1", "addresses": ["192.0.2.21"], "ports": [4000, 5432], "open": [4000]},
    {"host": "data1", "addresses": ["192.0.2.31"], "ports": [4000, 5432], "open": []},
]


@pytest.mark.parametrize(
    ("open_ports", "status", "found"),
    [
        ({("192.0.2.21", 4000)}, "passed", "app1: 4000; data1: nothing"),
        (set(), "failed", "app1: nothing; data1: nothing"),
        (
            {("192.0.2.21", 4000), ("192.0.2.31", 5432)},
            "failed",
            "app1: 4000; data1: 5432",
        ),
    ],
)
def test_a_host_reaches_exactly_what_is_declared_of_the_others(open_ports, status, found):
    states = dict.fromkeys(open_ports, "open")
    asked = [(n["addresses"][0], port) for n in NEIGHBOURS for port in n["ports"]]
    states = {target: states.get(target, "filtered") for target in asked}
    judged = probe_host.judge_matrix("reach from lb1", NEIGHBOURS, states)
    assert (judged.status, judged.found) == (status, found)
    assert judged.expected == "app1: 4000; data1: nothing"


def test_every_address_of_a_neighbour_has_its_own_place():
    two = [{"host": "app1", "addresses": ["192.0.2.21", "2001:db8::21"], "ports": [80], "open": []}]
    states = {("192.0.2.21", 80): "refused", ("2001:db8::21", 80): "open"}
    judged = probe_host.judge_matrix("reach from lb1", two, states)
    assert judged.found == "app1 192.0.2.21: nothing; app1 2001:db8::21: 80"
    assert judged.status == "failed"


@pytest.mark.parametrize(("second", "status"), [("open", "passed"), ("filtered", "failed")])
def test_what_should_be_open_is_tried_once_more(monkeypatch, second, status):
    tries = []

    def reached(asked):
        tries.append(asked)
        return dict.fromkeys(asked, second if len(tries) > 1 else "filtered")

    monkeypatch.setattr(probe_host.outside, "reached", reached)
    monkeypatch.setattr(probe_host.time, "sleep", lambda _seconds: None)
    (judged,) = probe_host.matrix("reach from lb1", {"neighbours": NEIGHBOURS})
    assert judged.status == status
    assert tries[1:] == [[("192.0.2.21", 4000)]]
