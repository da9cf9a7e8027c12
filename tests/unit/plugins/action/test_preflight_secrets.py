# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where preflight finds that hosts have their secrets."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.action.preflight import secrets_places


def places(**hosts):
    return secrets_places({"hostvars": hosts, "ansible_play_hosts_all": list(hosts)})


def test_one_place_may_be_written_in_several_ways(tmp_path):
    """Each host's inventory_dir is the one that names it first."""
    (tmp_path / "more").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "site")
    ways = ["site/secrets", "site/../site/secrets", "more/../site/secrets", "link/secrets"]
    hosts = {f"app{n}": {"platform_secrets_dir": str(tmp_path / way)} for n, way in enumerate(ways)}
    assert set(places(**hosts).values()) == {str(tmp_path / "site/secrets")}


def test_without_a_word_secrets_lie_beside_the_inventory_of_their_host():
    found = places(app1={"inventory_dir": "/site"}, app2={"inventory_dir": "/more"})
    assert found["app1"].endswith("/site") and found["app2"].endswith("/more")
