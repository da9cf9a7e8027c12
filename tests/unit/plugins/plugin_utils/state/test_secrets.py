# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.state.secrets import SecretError, Secrets


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "secrets"


@pytest.fixture
def store(folder):
    return Secrets(str(folder), {})


def test_a_secret_is_generated_once_and_kept_private(store, folder):
    first = store.get("database", prefix="sk-", length=12)
    assert first.startswith("sk-") and len(first) == 15
    assert store.get("database") == first
    assert stat.S_IMODE((folder / "database").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.listdir(folder) == ["database"], "no leftovers"


def test_two_secrets_differ(store):
    assert store.get("a") != store.get("b")


def test_a_given_value_wins_and_is_not_written(folder):
    assert Secrets(str(folder), {"database": "vaulted"}).get("database") == "vaulted"
    assert not folder.exists()


def test_a_dry_run_writes_nothing(folder):
    assert Secrets(str(folder), {}, is_dry=True).get("database")
    assert not folder.exists()


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b", "", ".hidden"])
def test_a_name_that_leaves_the_folder_is_refused(store, name):
    with pytest.raises(SecretError, match="is no file name"):
        store.get(name)


def test_an_empty_file_is_an_error_and_not_a_new_secret(store, folder):
    folder.mkdir()
    (folder / "database").touch()
    with pytest.raises(SecretError, match="is empty, expected a secret: restore its value"):
        store.get("database")


def test_without_a_folder_the_variable_to_set_is_named():
    with pytest.raises(SecretError, match="set platform_secrets_dir"):
        Secrets("", {}).get("database")
