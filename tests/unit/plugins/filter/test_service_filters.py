# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What filters add to the functions behind them."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.filter import clients, images, services


def test_networks_that_nothing_needs_are_those_with_the_platforms_label():
    host = {
        "host_networks": [
            {"Name": "net", "Labels": {}},
            {"Name": "net-a", "Labels": {"intranet.mcp.network": "net"}},
            {"Name": "net-b", "Labels": {"intranet.mcp.network": "net"}},
            {"Name": "net-of-others", "Labels": {"intranet.mcp.network": "other"}},
        ]
    }
    assert services.stale_networks(host, "net", ["net-a"]) == ["net", "net-b"]


def test_a_server_that_is_a_package_has_an_image_of_its_own():
    servers = {"a": {"pip": "acme-tickets-mcp==2.1.0"}, "b": {"image": "tool-python"}}
    assert list(images.manifest_of_servers(servers, ["tool-python"])) == ["tool-a"]


def test_a_file_of_the_collection_keeps_its_last_newline(tmp_path):
    (tmp_path / "x").write_bytes(b"one\r\ntwo\n")
    assert clients.text("x", str(tmp_path)) == "one\r\ntwo\n"
