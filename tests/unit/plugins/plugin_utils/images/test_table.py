# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every image that a host uses is listed once, with the place that decides its version."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.images.table import rows, table

OWN = {
    "redis": {"version": "8.0", "upstream": "docker.io/library/redis:8.0", "why": "Debian's"},
    "base": {"version": "13", "upstream": None, "why": "never deployed"},
}
EXTRA = {"redis": {"version": "8.2"}}
MANIFEST = {**OWN, "redis": {**OWN["redis"], "version": "8.2"}, "tool-x": {"version": 1.0}}


def test_only_what_a_host_uses_is_listed_with_all_its_hosts():
    found = rows(OWN, OWN, {}, {"b": ["redis"], "a": ["redis"]})
    assert [(row["component"], row["hosts"]) for row in found] == [("redis", ["a", "b"])]


def test_the_place_is_the_one_that_decides():
    found = rows(MANIFEST, OWN, EXTRA, {"a": ["redis", "tool-x"]})
    assert {row["component"]: (row["version"], row["pinned"]) for row in found} == {
        "redis": ("8.2", "image_extra"),
        "tool-x": ("1.0", "platform_mcp_servers"),
    }
    (row,) = rows(OWN, OWN, {"redis": {"digest": "sha256:1"}}, {"a": ["redis"]})
    assert row["pinned"].endswith("images.yml")


def test_the_table_names_hosts_and_reasons():
    line = table(rows(OWN, OWN, {}, {"a": ["redis"], "b": ["redis"]}))[1]
    assert "a, b" in line and line.endswith("Debian's")
