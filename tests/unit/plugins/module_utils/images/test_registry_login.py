# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64
import json
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


def test_own_logins_are_read_and_a_store_is_told_of(own):
    own(registry_login.merged({"credsStore": "pass"}, [LOGIN]))
    assert registry_login.own_logins() == ([LOGIN], True)
    own({"auths": {"broken.example": {"auth": "?"}, "empty.example": {}}})
    assert registry_login.own_logins() == ([], False)
