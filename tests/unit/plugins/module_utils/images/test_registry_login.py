# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import stat
from pathlib import Path

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.images import registry_login

LOGIN = {"registry": "harbor.example", "username": "robot$pull", "password": "pass:word"}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A function that writes this user's own settings of the docker program."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return lambda config: (tmp_path / "config.json").write_text(json.dumps(config))


def test_a_login_is_there_for_the_time_of_a_pull_and_for_its_user_alone(own):
    with registry_login.environment([LOGIN]) as variables:
        directory = Path(variables["DOCKER_CONFIG"])
        config = directory / "config.json"
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        auth = json.loads(config.read_text())["auths"]["harbor.example"]["auth"]
        assert base64.b64decode(auth).decode() == "robot$pull:pass:word"
    assert not directory.exists()


def test_nothing_is_left_when_the_pull_fails(own):
    with pytest.raises(KeyError), registry_login.environment([LOGIN]) as variables:
        raise KeyError
    assert not Path(variables["DOCKER_CONFIG"]).exists()


def test_without_logins_the_users_own_settings_hold(own):
    with registry_login.environment([]) as variables:
        assert variables == {}


def test_the_users_own_logins_and_proxies_hold_beside_the_sites(own):
    own({"auths": {"other.example": {"auth": "b3RoZXI6eA=="}}, "proxies": {"default": {}}})
    with registry_login.environment([LOGIN]) as variables:
        config = json.loads((Path(variables["DOCKER_CONFIG"]) / "config.json").read_text())
    assert sorted(config["auths"]) == ["harbor.example", "other.example"]
    assert "proxies" in config


def test_a_store_of_credentials_is_asked_for_the_other_registries_only():
    config = registry_login.merged({"credsStore": "pass"}, [LOGIN])
    assert config["credsStore"] == "pass"
    assert config["credHelpers"] == {"harbor.example": ""}


def test_docker_hub_has_a_key_of_its_own():
    config = registry_login.merged({}, [{**LOGIN, "registry": "docker.io"}])
    assert list(config["auths"]) == ["https://index.docker.io/v1/"]


HELPER = """#!/bin/sh
[ "$1" = get ] && cat >> "$0".asked
{answer}
"""


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A function that puts a credential helper on the path; it notes what it is asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def put(name, answer):
        program = folder / f"docker-credential-{name}"
        program.write_text(HELPER.format(answer=answer))
        program.chmod(0o755)
        return program

    return put


def kept(username, password):
    """What a helper does that keeps a login for harbor.example alone."""
    answer = json.dumps({"ServerURL": "harbor.example", "Username": username, "Secret": password})
    return (
        f"case $(tail -n1 \"$0\".asked) in harbor.example) echo '{answer}';;"
        " *) echo 'credentials not found in native keychain'; exit 1;; esac"
    )


def own_login(registry, seconds=5):
    return registry_login.OwnLogins(seconds).at(registry)


def test_own_logins_are_read_out_of_the_file(own, tmp_path):
    own(registry_login.merged({}, [LOGIN]))
    source = f"{tmp_path}/config.json"
    assert own_login("harbor.example") == {
        "username": LOGIN["username"],
        "password": LOGIN["password"],
        "source": source,
    }
    own({"auths": {"harbor.example": {"auth": "MDAwMDo=", "identitytoken": "abc"}}})
    assert own_login("harbor.example")["username"] == registry_login.TOKEN_USER
    own({"auths": {"broken.example": {"auth": "?"}, "empty.example": {}}})
    assert own_login("broken.example") == own_login("empty.example") == {}


def test_a_credential_helper_is_asked_once_for_what_it_keeps(own, helper):
    own({"credsStore": "pass", "credHelpers": {"gcr.example": "itest-absent"}})
    store = helper("pass", kept("robot", "secret"))
    logins = registry_login.OwnLogins(5)
    found = {"username": "robot", "password": "secret", "source": "docker-credential-pass"}
    assert logins.at("harbor.example") == logins.at("harbor.example") == found
    assert logins.at("other.example") == {}
    assert logins.at("docker.io") == {}
    asked = store.with_name(f"{store.name}.asked").read_text().splitlines()
    assert asked == ["harbor.example", "other.example", "https://index.docker.io/v1/"]
    assert "docker-credential-itest-absent cannot be run" in logins.at("gcr.example")["problem"]


def test_a_helper_that_fails_is_named_with_what_it_said(own, helper):
    own({"credsStore": "pass"})
    helper("pass", "echo 'pass not initialized' >&2; exit 1")
    problem = own_login("harbor.example")["problem"]
    assert problem == "docker-credential-pass ended with 1: pass not initialized"
    helper("pass", "echo 'not JSON'")
    assert "something else than a login" in own_login("harbor.example")["problem"]


def test_a_helper_that_waits_for_somebody_is_ended_with_its_children(own, helper):
    own({"credsStore": "pass"})
    store = helper("pass", 'sleep 60 & echo $! > "$0".child; wait')
    problem = own_login("harbor.example", seconds=1)["problem"]
    assert problem == "docker-credential-pass gave no answer within 1 s"
    child = int(store.with_name(f"{store.name}.child").read_text())
    with contextlib.suppress(ProcessLookupError):  # it has gone already
        ended, _, _ = select.select([os.pidfd_open(child)], [], [], 10)
        assert ended, f"process {child} goes on"
