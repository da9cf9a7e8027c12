# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The variable that doctor names where a container's memory is short exists, and bounds it."""

from __future__ import annotations

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import build_services
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.memory_options import option_of

ROLES = support.REPOSITORY / "roles"
CATALOG = yaml.safe_load((ROLES / "platform/defaults/main/main.yml").read_text())
# Ports are templates there.
ENTRIES = {
    name: {key: 1 if key == "port" else value for key, value in entry.items()}
    for name, entry in CATALOG["platform_services"].items()
}
SERVICES = build_services(ENTRIES, {"example": {"port": 8104}})
# Their limits are fixed.
WITHOUT = {"keepalived", "redis_sentinel"}


@pytest.mark.parametrize(
    ("service", "option"),
    [
        ("redis", "redis_memory_mb"),
        ("ollama", "ollama_memory_mb"),
        ("alertmanager", "prometheus_alertmanager_memory_mb"),
        ("tool-example", "mcp_servers.example.memory_mb"),
        *((name, "") for name in sorted(WITHOUT)),
    ],
)
def test_the_variable_is_that_of_the_definition(service, option):
    assert option_of(SERVICES[service]) == option


def test_every_other_container_of_the_catalog_has_one_and_its_role_knows_it():
    own = [s for s in SERVICES.values() if not s.part_of and s.name not in WITHOUT]
    for service in own:
        option = option_of(service)
        specs = (ROLES / service.role / "meta/argument_specs.yml").read_text()
        assert option, service.name
        assert option in yaml.safe_load(specs)["argument_specs"]["main"]["options"]


def test_a_role_from_elsewhere_has_none_that_is_known():
    entry = {"wiki": {"group": "wiki", "port": 8120}}
    assert option_of(build_services(entry, {})["wiki"]) == ""
