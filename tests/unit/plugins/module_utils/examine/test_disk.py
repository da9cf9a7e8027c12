# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import disk

GIB = 1024


def place(path="/d", free_mb=9 * GIB, free_inodes=90000, device=1):
    return disk.FileSystem(path, device, free_mb, free_inodes)


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        (place(), "passed", "9216 MiB free at /d"),
        (place(free_mb=1024), "passed", "1024 MiB free"),
        (place(free_mb=1023), "failed", "1023 MiB free at /d"),
        (place(free_inodes=999), "failed", "999 inodes free at /d"),
        (place(free_inodes=None), "passed", "9216 MiB"),
        (place(free_mb=3, free_inodes=9), "failed", "3 MiB free"),
    ],
)
def test_space_and_inodes_are_needed(found, status, words):
    judged = disk.judge("disk", found, 1024, "some_setting")
    assert (judged.status, words in judged.found) == (status, True)
    # No setting says how many inodes there must be.
    is_space = status == "failed" and "inodes" not in words
    assert ("some_setting" in judged.action) == is_space


def test_a_file_system_is_reported_once_by_its_first_path():
    full = [place("/a", 3), place("/b", 3), place("/c", 3, device=2), place("/ok", device=3)]
    found = [it.found for it in disk.failures("disk", full, 1024, "x")]
    assert found == ["3 MiB free at /a", "3 MiB free at /c"]


def test_a_directory_that_is_yet_to_be_lies_on_its_ancestors_file_system(tmp_path):
    there, yet_to_be = disk.read([str(tmp_path), str(tmp_path / "not" / "yet"), str(tmp_path)])
    assert there.device == yet_to_be.device == tmp_path.stat().st_dev
    assert yet_to_be.path.endswith("not/yet") and yet_to_be.free_mb > 0
