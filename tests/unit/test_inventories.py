# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The example inventories say only what roles understand, and the model examples differ in data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import (
    PLATFORM,
    build_services,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import (
    Topology,
    port_conflicts,
)

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "inventories" / "models").glob("*.yml"))
GROUP_VARS = sorted((ROOT / "inventories").glob("*/group_vars/*/*.yml"))


@pytest.fixture(scope="module")
def options():
    """Return the specified options of all roles, by name."""
    merged = {}
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for spec in yaml.safe_load(path.read_text())["argument_specs"].values():
            merged.update(spec.get("options") or {})
    return merged


def name(path):
    return path.relative_to(ROOT / "inventories").as_posix()


@pytest.mark.parametrize("path", EXAMPLES + GROUP_VARS, ids=name)
def test_inventories_set_only_what_roles_specify(options, path):
    assert not sorted(set(yaml.safe_load(path.read_text()) or {}) - set(options))


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_custom_apis_have_the_keys_that_the_role_specifies(options, path):
    known = options["litellm_custom_apis"]["options"]
    required = {key for key, option in known.items() if option.get("required")}
    for api in yaml.safe_load(path.read_text()).get("litellm_custom_apis", []):
        assert required <= set(api) <= set(known)


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_fallbacks_name_models_that_are_offered(path):
    data = yaml.safe_load(path.read_text())
    offered = {model["name"] for model in data.get("ollama_models", [])}
    offered |= {api["model_name"] for api in data.get("litellm_custom_apis", [])}
    for fallback in data.get("litellm_fallbacks", []):
        for model, others in fallback.items():
            assert {model, *others} <= offered


@pytest.mark.parametrize("tier", ["light", "standard", "enterprise"])
def test_the_tiers_models_are_the_open_models_example(tier):
    light = (ROOT / f"inventories/{tier}/group_vars/all/models.yml").read_text()
    example = (ROOT / "inventories/models/open-models.yml").read_text()
    assert yaml.safe_load(light) == yaml.safe_load(example)


def catalog():
    """Return the catalog with the ports that its templates stand for."""
    text = (ROOT / "roles/platform/defaults/main/main.yml").read_text()
    defaults = {**yaml.safe_load(text), "platform_balancer_port": 443}
    services = defaults["platform_services"]
    for entry in services.values():
        if isinstance(entry.get("port"), str):
            entry["port"] = defaults[re.search(r"platform_\w+_port", entry["port"])[0]]
        entry["enabled"] = True
    return services


@pytest.mark.parametrize("tier", ["light", "local", "standard", "enterprise"])
def test_every_service_that_is_needed_has_a_host_and_every_port_one_holder(tier):
    inventory = yaml.safe_load((ROOT / f"inventories/{tier}/hosts.yml").read_text())
    children = inventory["all"]["children"]["platform"]["children"]
    groups = {name: list((group or {}).get("hosts", {})) for name, group in children.items()}
    assert {name for name in groups if not groups[name]} <= {
        "load_balancer",
        "monitoring",
        "grafana",
        "dcgm_exporter",
        "portal",
    }
    topology = Topology(
        services=build_services(catalog(), {"example": {"port": 8104}}),
        groups=groups,
        addresses={host: ["192.0.2.1"] for hosts in groups.values() for host in hosts},
    )
    needed = {service.group for service in topology.services.values()} - {PLATFORM}
    assert set(groups) == needed
    assert port_conflicts(topology) == []
