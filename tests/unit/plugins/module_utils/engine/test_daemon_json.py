# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.engine.daemon_json import (
    DaemonJsonError,
    changed_keys,
    dump,
    merge,
    parse,
)

DEFAULTS = {
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "3"},
    "live-restore": True,
}


def test_empty_file_gains_the_defaults():
    assert merge(parse("  \n", "f"), {}, DEFAULTS, {}) == DEFAULTS


def test_defaults_never_touch_what_is_there():
    current = {"live-restore": False, "log-opts": {"max-size": "1g"}, "bip": "10.9.0.1/24"}
    merged = merge(current, {}, DEFAULTS, {})
    assert merged["live-restore"] is False
    assert merged["bip"] == "10.9.0.1/24"
    assert merged["log-opts"] == {"max-size": "1g", "max-file": "3"}


def test_rotation_options_stay_out_of_a_driver_that_refuses_them():
    assert "log-opts" not in merge({"log-driver": "journald"}, {}, DEFAULTS, {})


def test_settings_win_and_lists_are_joined():
    current = {
        "debug": True,
        "insecure-registries": ["a:5000"],
        "runtimes": {"kata": {"path": "k"}},
    }
    settings = {
        "debug": False,
        "insecure-registries": ["b:5000", "a:5000"],
        "runtimes": {"nvidia": {"path": "nvidia-container-runtime"}},
    }
    assert merge(current, settings, {}, {}) == {
        "debug": False,
        "insecure-registries": ["a:5000", "b:5000"],
        "runtimes": {"kata": {"path": "k"}, "nvidia": {"path": "nvidia-container-runtime"}},
    }


def test_merging_again_changes_nothing():
    once = merge({"bip": "10.9.0.1/24"}, {"insecure-registries": ["b:5000"]}, DEFAULTS, {})
    assert merge(parse(dump(once), "f"), {"insecure-registries": ["b:5000"]}, DEFAULTS, {}) == once


def test_absent_takes_out_only_what_still_has_our_value():
    current = {
        "runtimes": {"nvidia": {"path": "n"}, "kata": {"path": "k"}},
        "features": {"cdi": True},
        "debug": True,
        "insecure-registries": ["a:5000", "b:5000"],
    }
    absent = {
        "runtimes": {"nvidia": {"path": "n"}},
        "features": {"cdi": True},
        "debug": False,
        "insecure-registries": ["b:5000"],
    }
    assert merge(current, {}, {}, absent) == {
        "runtimes": {"kata": {"path": "k"}},
        "debug": True,
        "insecure-registries": ["a:5000"],
    }


def test_changed_keys_name_added_changed_and_removed():
    assert changed_keys({"a": 1, "b": 1, "c": 1}, {"b": 2, "c": 1, "d": 1}) == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("text", "words"),
    [('{"debug": true,}', "not valid JSON"), ("[1]", "holds a list"), ('"x"', "holds a str")],
)
def test_a_broken_file_is_an_error_that_says_what_to_do(text, words):
    with pytest.raises(DaemonJsonError) as error:
        parse(text, "/etc/docker/daemon.json")
    assert words in str(error.value)
    assert "/etc/docker/daemon.json" in str(error.value)
    assert "move it away" in str(error.value)
