# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Settings come into files, leave them again, and everything else stays what it was."""

from __future__ import annotations

import os
import stat
import tomllib

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.clients.settings_install import (
    Installation,
    SettingsError,
    rendered,
)

RECORD = ".config/x/undo"
SERVER = {"type": "http", "url": "http://h/mcp"}
ENTRIES = [
    {"path": "key", "format": "text", "settings": "sk-1\n", "mode": "0600", "secret": True},
    {
        "path": ".c/settings.json",
        "format": "jsonc",
        "settings": {"env": {"URL": "u"}, "allow": ["gw"], "mcpServers": {"gw": SERVER}},
        "whole": [["mcpServers", "gw"]],
    },
    {
        "path": ".c/config.toml",
        "format": "toml",
        "settings": {"model": "m", "analytics": {"enabled": False}},
    },
    {"path": ".c/.env", "format": "env", "settings": {"KEY": "sk-1"}, "secret": True},
    {"path": ".profile", "format": "line", "settings": [". env.sh"]},
    {"path": ".zshrc", "format": "line", "settings": [". env.sh"], "when_exists": True},
]
JSON = '{\n  // mine\n  "env": {"URL": "old", "X": "1"},\n  "allow": ["Bash"]\n}'
TOML = '# mine\nmodel = "old" # why\n\n[analytics]\nenabled = true\n'
EXISTING = {
    ".c/settings.json": JSON,
    ".c/config.toml": TOML,
    ".c/.env": "KEY=old\nOTHER=1\n",
    ".profile": "umask 022",
    ".zshrc": "bindkey -e\n",
}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def existing(home):
    for path, text in EXISTING.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(text.encode())
    (home / ".c/settings.json").chmod(0o640)
    return home


def snapshot(home):
    """Return what is below a directory: modes and contents, empty directories too."""
    found = {}
    for folder, _folders, names in os.walk(home):
        found[os.path.relpath(folder, home)] = "directory"
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as stream:
                mode = stat.S_IMODE(os.stat(path).st_mode)
                found[os.path.relpath(path, home)] = (mode, stream.read())
    return found


def install(home, entries=ENTRIES):
    installation = Installation(str(home), str(home / RECORD))
    changes = installation.plan(entries)
    installation.apply(changes, entries)
    return [change.path for change in changes if change.differs]


def undo(home):
    installation = Installation(str(home), str(home / RECORD))
    changes = installation.plan_undo()
    installation.apply_undo(changes)
    return {os.path.relpath(change.path, home): change.note for change in changes}


def test_an_empty_home_gets_every_file_and_loses_it_again(home):
    home.mkdir()
    assert len(install(home)) == 5
    assert not (home / ".zshrc").exists()
    assert (home / ".c/config.toml").read_text() == rendered(ENTRIES[2])
    assert len(undo(home)) == 5
    assert snapshot(home) == {".": "directory"}


def test_existing_settings_are_merged_into(existing):
    install(existing)
    text = (existing / ".c/settings.json").read_text()
    assert "// mine" in text
    assert '"URL": "u", "X": "1"' in text
    assert '"Bash",\n    "gw"' in text
    found = tomllib.loads((existing / ".c/config.toml").read_text())
    assert found == {"model": "m", "analytics": {"enabled": False}}
    assert "# why" in (existing / ".c/config.toml").read_text()
    assert (existing / ".c/.env").read_text() == "KEY=sk-1\nOTHER=1\n"
    assert (existing / ".profile").read_text() == "umask 022\n. env.sh\n"
    assert (existing / ".zshrc").read_text() == "bindkey -e\n. env.sh\n"


def test_a_second_installation_changes_nothing(existing):
    install(existing)
    before = snapshot(existing)
    assert install(existing) == []
    assert snapshot(existing) == before


def test_undo_restores_bytes_and_permissions(existing):
    before = snapshot(existing)
    install(existing)
    assert snapshot(existing) != before
    undo(existing)
    assert snapshot(existing) == before


def test_undo_after_changes_keeps_them_and_brings_back_what_was_replaced(existing):
    install(existing)
    path = existing / ".c/settings.json"
    path.write_text(path.read_text().replace('"X": "1"', '"X": "2"'))
    with open(existing / ".c/config.toml", "a") as stream:
        stream.write("\n[later]\na = 1\n")
    with open(existing / ".c/.env", "a") as stream:
        stream.write("LATER=1\n")
    notes = undo(existing)
    assert "kept" in notes[".c/settings.json"]
    assert notes[".profile"] == ""
    assert '"URL": "old", "X": "2"' in path.read_text()
    assert "mcpServers" not in path.read_text()
    assert (existing / ".c/config.toml").read_text() == TOML + "\n[later]\na = 1\n"
    assert (existing / ".c/.env").read_text() == "KEY=old\nOTHER=1\nLATER=1\n"


def test_a_setting_that_somebody_changed_since_stays_changed(existing):
    install(existing)
    path = existing / ".c/config.toml"
    path.write_text(path.read_text().replace('"m"', '"theirs"'))
    undo(existing)
    assert path.read_text() == TOML.replace('"old"', '"theirs"')


def test_a_file_made_here_and_then_filled_by_a_program_stays_without_our_part(home):
    home.mkdir()
    install(home)
    path = home / ".c/settings.json"
    path.write_text(path.read_text().replace("{", '{"theirs": 1,', 1))
    undo(home)
    assert path.read_text().replace(" ", "").replace("\n", "") == '{"theirs":1}'


def test_a_new_bundle_replaces_the_former_one_and_undo_goes_back_to_the_start(existing):
    before = snapshot(existing)
    install(existing)
    newer = [
        {**ENTRIES[0], "settings": "sk-2\n"},
        {**ENTRIES[1], "settings": {"env": {"URL2": "u2"}}},
    ]
    assert len(install(existing, newer)) == 6
    assert (existing / "key").read_text() == "sk-2\n"
    text = (existing / ".c/settings.json").read_text()
    assert '"URL": "old"' in text
    assert "mcpServers" not in text
    assert '"URL2": "u2"' in text
    assert (existing / ".c/config.toml").read_text() == TOML
    undo(existing)
    assert snapshot(existing) == before


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (".c/settings.json", '{"env": ', "settings.json cannot be read (line 1: a value"),
        (".c/settings.json", '{"env": []}', "settings.json env is not an object"),
        (".c/config.toml", "model = \n", "config.toml cannot be read"),
        (".c/config.toml", "analytics = {enabled = true}\n", "analytics is written on one line"),
        (".c/.env", b"\xff\xfe", ".env cannot be read"),
    ],
)
def test_a_broken_file_is_one_error_and_nothing_is_written(existing, path, text, message):
    (existing / path).write_bytes(text if isinstance(text, bytes) else text.encode())
    before = snapshot(existing)
    with pytest.raises(SettingsError) as caught:
        install(existing)
    assert message in str(caught.value)
    assert "expected" in str(caught.value)
    assert snapshot(existing) == before


def test_comments_are_refused_where_their_reader_would_ignore_the_file(existing):
    """Claude Code drops a managed file that has one, and all settings in it."""
    strict = [{**ENTRIES[1], "format": "json"}]
    before = snapshot(existing)
    with pytest.raises(SettingsError, match="JSON without comments"):
        install(existing, strict)
    assert snapshot(existing) == before
    (existing / ".c/settings.json").write_text('{"x": 1}')
    assert len(install(existing, strict)) == 1
    assert undo(existing) == {".c/settings.json": ""}


def test_a_file_that_broke_since_stops_undo_before_it_writes(existing):
    install(existing)
    (existing / ".c/settings.json").write_text("{")
    before = snapshot(existing)
    with pytest.raises(SettingsError, match="valid JSON"):
        undo(existing)
    assert snapshot(existing) == before


def test_secrets_are_their_owners_alone(existing):
    (existing / ".c/.env").chmod(0o644)
    install(existing)
    for folder, _folders, names in os.walk(existing):
        for name in names:
            path = os.path.join(folder, name)
            with open(path) as stream:
                holds_key = "sk-1" in stream.read()
            assert not holds_key or stat.S_IMODE(os.stat(path).st_mode) == 0o600, path
    assert stat.S_IMODE((existing / RECORD).stat().st_mode) == 0o700
    assert stat.S_IMODE((existing / ".c/settings.json").stat().st_mode) == 0o640


def test_a_link_into_somebodys_repository_stays_a_link(existing, tmp_path):
    target = tmp_path / "dotfiles.json"
    target.write_text("{}")
    (existing / ".c/settings.json").unlink()
    (existing / ".c/settings.json").symlink_to(target)
    install(existing)
    assert (existing / ".c/settings.json").is_symlink()
    assert "mcpServers" in target.read_text()
    undo(existing)
    assert target.read_text() == "{}"


def test_a_file_that_is_gone_is_no_obstacle_to_undo(existing):
    install(existing)
    (existing / "key").unlink()
    assert undo(existing)["key"] == "is gone already"


def test_a_missing_backup_or_a_damaged_record_is_said(existing):
    install(existing)
    for path in (existing / RECORD).iterdir():
        if path.name != "record.json":
            path.unlink()
    with pytest.raises(SettingsError, match="is missing from"):
        undo(existing)
    (existing / RECORD / "record.json").write_text("{")
    with pytest.raises(SettingsError, match="is damaged"):
        undo(existing)
