# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.images.record import Record

REFERENCE = "intranet-mcp/redis:8.0"
ENTRY = {"id": "sha256:1", "way": "build", "digest": "", "asked": []}


@pytest.fixture
def record(tmp_path):
    """Return a function that makes a record of one image."""

    def made(entry):
        path = tmp_path / "images.json"
        path.write_text(json.dumps({"images": {REFERENCE: entry}}))
        return Record(str(path))

    return made


def test_what_was_recorded_holds_for_the_image_it_was_recorded_of(record):
    assert record(ENTRY).origin(REFERENCE, "sha256:1") == ENTRY
    assert record(ENTRY).origin(REFERENCE, "sha256:2") is None


@pytest.mark.parametrize(
    "entry",
    [
        *({key: value for key, value in ENTRY.items() if key != left} for left in ENTRY),
        {**ENTRY, "asked": None},
        {**ENTRY, "way": 7},
        [],
        "x",
        None,
    ],
)
def test_an_entry_that_is_none_is_as_if_nothing_was_recorded(record, entry):
    assert record(entry).origin(REFERENCE, "sha256:1") is None
