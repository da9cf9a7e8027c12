# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The hosts of a play, before there is a host."""

from __future__ import annotations

import pytest
import support
from ansible.errors import AnsibleLookupError
from ansible.template import trust_as_template

OF_ROLE = {"store": {"group": "data", "tag": "data"}, "portal": {"group": "web"}}


def asked(*terms, options=None, **variables):
    known = {"platform_services": OF_ROLE, "groups": {"data": [], "web": []}, **variables}
    return support.run_lookup("hosts", *terms, variables=known, **(options or {}))


def test_every_group_of_the_catalog_is_meant():
    assert asked() == ["data:web"]


def test_a_tag_means_the_hosts_of_what_its_plays_deploy():
    assert asked("services") == ["web"]
    assert asked("gateway") == ["!all"]


def test_what_preflight_has_yet_to_refuse_does_not_keep_plays_from_their_hosts():
    port = trust_as_template("{{ nobody_knows }}")
    own = {"store": {"group": trust_as_template("{{ place }}"), "port": port}}
    assert asked(platform_services=own, place="data") == ["data"]


def test_a_group_that_the_inventory_lacks_is_not_in_the_pattern():
    """Ansible would warn of it at each play."""
    assert asked(groups={"all": [], "data": []}) == ["data"]
    assert asked(groups={"all": []}) == ["!all"]


def test_clusters_are_left_out_where_engines_are_meant():
    groups, engines = {"data": [], "web": [], "kubernetes": ["cluster"]}, {"clusters": False}
    assert asked(groups=groups) == ["data:web"]
    assert asked(groups=groups, options=engines) == ["data:web:!kubernetes"]
    assert asked(groups={"kubernetes": ["cluster"]}, options=engines) == ["!all"]
    assert asked(options=engines) == ["data:web"]


def test_a_catalog_that_is_wrong_is_one_clear_message():
    with pytest.raises(AnsibleLookupError, match=r"^hosts: platform_services.store has no group"):
        asked(platform_services={"store": {"port": 1}})


def test_hosts_that_change_come_in_the_order_of_the_inventory():
    hosts = [f"app{number}" for number in range(20, 0, -1)]
    changing = {"options": {"changing": True}}
    found = asked("services", groups={"web": hosts, "rolling_portal": hosts[5:2:-1]}, **changing)
    assert found == hosts[3:6]
    assert asked("services", groups={"web": hosts}, **changing) == ["!all"]
    assert asked("data", groups={"web": hosts, "rolling_portal": hosts}, **changing) == ["!all"]
