# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Objects as files: as people read them in a review, and the same each time.

The files in `expected` are those of the platform in tests/clusters.py. After a change that is
meant: `EXPECTED=write python -m pytest` on this file, then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import files, objects
from clusters import DEFINITIONS, OWNERS, definition, everything, target

EXPECTED = Path(__file__).parent / "expected"


@pytest.fixture(scope="module")
def written():
    to = target()
    needed = [
        secret
        for name in DEFINITIONS
        for secret in objects.needed_secrets([definition(name)], OWNERS.get(name, name), to)
    ]
    found = files.files(everything(to), needed, "dir")
    assert found["secrets"] == []
    return {entry["path"]: entry["content"] for entry in found["files"]}


@pytest.mark.parametrize("name", ["gateway", "litellm", "postgres", "tool-browser"])
def test_files_are_the_ones_that_were_read_before(written, name):
    path = EXPECTED / f"{name}.yml"
    if os.environ.get("EXPECTED") == "write":
        path.write_text(written[f"dir/{name}.yml"])
    assert written[f"dir/{name}.yml"] == path.read_text()


def test_every_service_has_a_file_and_every_object_is_in_one(written):
    assert {*written} == {f"dir/{name}.yml" for name in (*DEFINITIONS, "platform")}
    read = [one for text in written.values() for one in yaml.safe_load_all(text)]

    def key(one):
        return one["kind"], one["metadata"]["name"]

    assert sorted(read, key=key) == sorted(everything(target()), key=key)


def test_texts_of_several_lines_stay_readable(written):
    assert '  start.sh: |\n    #!/bin/sh\n    exec "$@"\n' in written["dir/litellm.yml"]


@pytest.mark.parametrize("value", ["12345e6789", "1e3", "y", "0o17", "017", "8.0", "-1", "no"])
def test_no_reader_takes_a_text_for_something_else(value):
    assert f"hash: '{value}'\n" in files.text({"hash": value})


def test_a_file_says_which_secrets_its_service_needs(written):
    assert "# Needs Secret postgres-secrets with password\n" in written["dir/postgres.yml"]
    assert "# Needs" not in written["dir/ollama.yml"]


def test_secrets_have_files_of_their_own_for_their_owner_alone():
    to = target(with_secrets=True)
    found = files.files(everything(to), [], "dir")
    assert [entry["path"] for entry in found["secrets"]] == [
        f"dir/{name}-secrets.yml" for name in ("gateway", "litellm", "postgres", "redis")
    ]
    assert {entry["mode"] for entry in found["secrets"]} == {"0600"}
    assert not [e for e in found["files"] if "kind: Secret" in e["content"]]
    kinds = [one["kind"] for e in found["secrets"] for one in yaml.safe_load_all(e["content"])]
    assert {*kinds} == {"Secret"} and len(kinds) == 6
