# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where preflight finds that hosts have their secrets."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.secrets_places import (
    known_secrets,
    places_read_as_inventory,
    secrets_places,
)


def places(**hosts):
    return secrets_places({"hostvars": hosts, "ansible_play_hosts_all": list(hosts)})


def test_a_secret_is_known_where_it_is_given_or_kept(tmp_path):
    (tmp_path / "litellm_master_key").write_text("sk-kept")
    said = {"platform_secrets": {"postgres_password": "given", "redis_password": ""}}
    kept = {"litellm_master_key"}
    assert known_secrets(said, lambda value: value, str(tmp_path)) == {"postgres_password"} | kept
    assert known_secrets({}, lambda value: value, str(tmp_path / "none")) == set()


def test_one_place_may_be_written_in_several_ways(tmp_path):
    """Each host's inventory_dir is the one that names it first."""
    (tmp_path / "more").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "site")
    ways = ["site/secrets", "site/../site/secrets", "more/../site/secrets", "link/secrets"]
    hosts = {f"app{n}": {"platform_secrets_dir": str(tmp_path / way)} for n, way in enumerate(ways)}
    assert set(places(**hosts).values()) == {str(tmp_path / "site/secrets")}


def test_without_a_word_hosts_of_several_inventories_have_one_place():
    found = places(app1={"inventory_dir": "/site"}, app2={"inventory_dir": "/more"})
    assert found["app1"] == found["app2"]


def test_secrets_that_ansible_would_read_as_hosts_are_found(tmp_path):
    def read(directory, *sources):
        variables = {"ansible_inventory_sources": sources}
        return places_read_as_inventory(variables, {"secrets_directory": str(directory)})

    (tmp_path / "inv").mkdir()
    (tmp_path / "inv/hosts.yml").touch()
    assert read(tmp_path / "inv/secrets", str(tmp_path / "inv")) == {
        str(tmp_path / "inv"): str(tmp_path / "inv/secrets")
    }
    assert not read(tmp_path / "inv/secrets", str(tmp_path / "inv/hosts.yml"), "host,")
    assert not read(tmp_path / "inv/.intranet-mcp/secrets", str(tmp_path / "inv"))
    assert not read(tmp_path / "elsewhere", str(tmp_path / "inv"))
