# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Each module of module_utils and plugin_utils has its tests at the same path."""

from __future__ import annotations

from pathlib import Path

import pytest
import support

PLUGINS = support.REPOSITORY / "plugins"
TESTS = Path(__file__).parent
# Modules without a test at their path, by the test that meets them. Parts of a module's text or of
# a table are tested as a whole; what only talks to an engine or a server, by its module's tests.
# This list may become shorter only: a new module brings its own test.
ELSEWHERE = {
    "module_utils/balancer/test_haproxy_config.py": "haproxy_pages haproxy_parts",
    "module_utils/balancer/test_traefik_config.py": "traefik_pages traefik_parts",
    "module_utils/balancer/test_haproxy.py": "replica",
    "module_utils/examine/test_doctor.py": "doctor_containers doctor_monitoring doctor_services",
    "module_utils/examine/test_doctor_probes.py": "doctor_facts probes",
    "module_utils/examine/test_logs.py": "doctor_logs probe_logs",
    "module_utils/examine/test_monitoring.py": "probe_monitoring",
    "module_utils/examine/test_portal.py": "doctor_portal",
    "module_utils/examine/test_probe_isolation.py": "inside",
    "module_utils/examine/test_probe_cluster.py": "probe_data",
    "module_utils/firewall/test_nftables.py": "containers",
    "module_utils/images/test_bundle.py": "archive",
    "module_utils/images/test_registry.py": "pull",
    "module_utils/topology/test_topology.py": "catalog",
    "modules/test_files.py": "module_utils/host/entry module_utils/host/files",
    "modules/test_gateway_usage_info.py": "module_utils/mcp/audit",
    "modules/test_image.py": "module_utils/images/build module_utils/images/push",
    "modules/test_kubernetes_objects.py": "module_utils/kubernetes/client",
    "modules/test_litellm_usage_info.py": "module_utils/litellm/usage",
    "modules/test_llm_health.py": "module_utils/litellm/shapes",
    "modules/test_prometheus_query.py": "module_utils/prometheus/client",
    "action/test_preflight_sign_on.py": "plugin_utils/examine/sign_on",
    "action/test_preflight_sites.py": "plugin_utils/examine/sites",
    "filter/test_balancer.py": "plugin_utils/state/authority",
    "lookup/test_topology_lookups.py": "plugin_utils/topology/lookups plugin_utils/topology/ports",
    "plugin_utils/common/test_progress.py": "module_utils/common/progress",
    "plugin_utils/common/test_table.py": "page",
    "plugin_utils/examine/test_external_data.py": "external",
    "plugin_utils/examine/test_preflight_report.py": "this_run",
    "plugin_utils/kubernetes/test_objects.py": "configuration connections monitors target",
    "plugin_utils/kubernetes/test_pods.py": "entry pod probes storage workloads",
    "plugin_utils/monitoring/test_panels.py": (
        "panel panels_hosts panels_models panels_overview panels_tools"
    ),
    "plugin_utils/monitoring/test_prometheus.py": "text",
    "plugin_utils/monitoring/test_rules.py": "rule rules_hosts rules_models rules_services",
    "plugin_utils/monitoring/test_status.py": "status_table",
    "plugin_utils/monitoring/test_status_page.py": "plot",
    "plugin_utils/people/test_usage.py": "usage_files",
}
MOST = 60


def excepted() -> dict[str, str]:
    """Return the module's path, without its ending, and the test that meets it."""
    found = {}
    for test, names in ELSEWHERE.items():
        for name in names.split():
            found[name if "/" in name else f"{Path(test).parent}/{name}"] = test
    return found


def modules() -> set[str]:
    """Return every module that has code, as paths below `plugins` without their ending."""
    return {
        str(path.relative_to(PLUGINS).with_suffix(""))
        for kind in ("module_utils", "plugin_utils")
        for path in (PLUGINS / kind).rglob("*.py")
        if path.stem != "__init__"
    }


def has_mirror(module: str) -> bool:
    path = Path(module)
    return (TESTS / path.parent / f"test_{path.name}.py").is_file()


@pytest.mark.parametrize("module", sorted(modules() - set(excepted())))
def test_tests_of_a_module_are_at_its_path(module):
    assert has_mirror(module)


@pytest.mark.parametrize("module", sorted(excepted()))
def test_an_exception_is_one_still(module):
    assert module in modules(), "it is no module any more: take it out of the list"
    assert not has_mirror(module), "it has its test now: take it out of the list"
    assert (TESTS / excepted()[module]).is_file(), "its test is elsewhere now"


def test_there_are_no_more_exceptions_than_there_were():
    assert len(excepted()) <= MOST, "write the new module's test at its path"
    assert len(excepted()) == MOST, "one less: lower MOST, so that it stays so"
