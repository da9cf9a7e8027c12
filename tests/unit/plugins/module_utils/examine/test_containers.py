# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import EngineError, Said
from ansible_collections.intranet.mcp.plugins.module_utils.examine import containers


def listed(name, **labels):
    labels = {f"intranet.mcp.{key}": value for key, value in labels.items()}
    return {"Id": name, "Names": [f"/{name}"], "Labels": labels}


def test_a_platform_beside_another_one_has_its_own_containers():
    found = containers.of_platform(
        [
            listed("intranet-redis", owner="redis", service="redis"),
            listed("other-redis", owner="redis", service="redis"),
            listed("intranet-by-hand"),
            {"Id": "gone", "Names": None, "Labels": None},
        ],
        "intranet-",
    )
    assert {service: entry["Id"] for service, entry in found.items()} == {"redis": "intranet-redis"}


def test_of_several_containers_of_a_service_a_running_one_stands_for_it():
    runs = {**listed("x-redis", owner="redis", service="redis"), "State": "running"}
    ended = {**listed("x-copy", owner="redis", service="redis"), "State": "exited"}
    assert containers.of_platform([runs, ended], "x-")["redis"]["Id"] == "x-redis"


def test_images_are_known_by_each_of_their_names():
    images = [{"Id": "1", "RepoTags": ["a:1", "b:1"]}, {"Id": "2", "RepoTags": None}]
    assert {tag: image["Id"] for tag, image in containers.by_tag(images).items()} == {
        "a:1": "1",
        "b:1": "1",
    }


class Engine:
    """An engine with one container, in which this is said."""

    def __init__(self, said="", events=b"", **state):
        self.said, self.state = said, {"Status": "running", "ExitCode": 0, "OOMKilled": False}
        self.state.update(state)
        self.events = events

    def json(self, resource):
        if "/stats" in resource:
            return {"memory_stats": {"usage": 100, "limit": 400, "stats": {"inactive_file": 30}}}
        binding = {"HostIp": "::1", "HostPort": "8080"}
        return {
            "State": self.state,
            "Image": "sha256:1",
            "RestartCount": 2,
            "Config": {"Image": "x:1", "Env": ["OLLAMA_HOST=a=b", "TOKEN=s3cret"]},
            "HostConfig": {
                "PortBindings": {"80/tcp": [binding], "81/tcp": None},
                "LogConfig": {"Type": "json-file", "Config": None},
            },
            "NetworkSettings": {"Networks": {"z": {}, "a": {}}},
        }

    def log(self, _id, _lines):
        return ["no sk-abcdefgh123"]

    def ask(self, _method, resource):
        assert resource.startswith("/events?since=") and "oom" in resource
        return self.events

    def run(self, _id, _command, _env):
        if not self.said:
            raise EngineError("away", "an answer", "start it")
        return Said(0, "", "", self.said)


def test_what_a_running_container_is_like():
    found = containers.read(Engine("ok x-redis\nend\n"), "1", {"redis": "x-redis", "db": "x-db"})
    assert (found["memory_used"], found["memory_limit"]) == (70, 400)
    assert found["published"] == ["[::1]:8080"] and found["networks"] == ["a", "z"]
    assert found["env"] == {"OLLAMA_HOST": "a=b"}, "and no secret"
    assert found["resolves"] == {"redis": True, "db": False}
    assert found["log"] == [], "that of one that is well is not read"


@pytest.mark.parametrize("said", ["", "sh: getent: not found\nend\n"])
def test_a_container_that_cannot_be_asked_for_names_says_nothing_of_them(said):
    assert containers.read(Engine(said), "1", {"redis": "x-redis"})["resolves"] is None


def test_the_log_of_a_container_that_stopped_is_read_without_secrets():
    found = containers.read(Engine(Status="exited", ExitCode=3), "1", {"redis": "x-redis"})
    assert (found["exit_code"], found["log"], found["resolves"]) == (3, ["no ***"], None)


@pytest.mark.parametrize(("events", "was_killed"), [(b'{"Action": "oom"}\n', True), (b"", False)])
def test_what_ended_a_container_that_is_up_again_is_still_known(events, was_killed):
    """It restarts over and over: whether it is up at this very moment is chance."""
    engine = Engine(events=events, Health={"Status": "starting"})
    found = containers.read(engine, "1", {})
    judged = containers.judge_state("container", "x-tool", "tool", found)
    assert judged.found.startswith("x-tool started 3 times and is not healthy")
    assert ("killed for memory" in judged.found) == was_killed
    assert ("memory limit" in judged.action) == was_killed


def test_lines_of_logs_lose_their_secrets():
    line = "cannot reach postgresql://litellm:s3cret@db/x with sk-abcdefgh123"
    assert containers.without_secrets(line) == "cannot reach postgresql://***@db/x with ***"
