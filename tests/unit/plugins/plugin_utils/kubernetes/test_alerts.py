# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Alert rules in a cluster: of its own services' numbers, and of this platform alone."""

from __future__ import annotations

import json
import re

from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import alerts
from clusters import ALL_INSIDE, target


def alerts_of(to):
    (found,) = alerts.objects(to)
    return {
        rule["alert"]: rule for group in found["spec"]["groups"] for rule in group["rules"]
    }, found


def test_rules_are_about_numbers_that_services_of_the_cluster_tell():
    found, _made = alerts_of(target())
    assert {"GatewayErrors", "ToolServerDown", "LitellmErrors", "LitellmMemory", "TeamBudget"} <= {
        *found
    }
    assert not {"TargetDown", "OllamaDown", "BalancerErrors", "HostDiskFull", "Watchdog"} & {*found}
    without = {**ALL_INSIDE, "litellm": ["app1"]}
    assert not [name for name in alerts_of(target(without))[0] if name.startswith("Litellm")]


def test_every_number_is_of_the_namespace():
    for name, rule in alerts_of(target())[0].items():
        numbers = re.findall(r"\b(?:mcp_gateway|litellm|process)_\w+(.{0,16})", rule["expr"])
        assert numbers, name
        assert {*numbers} == {'{namespace="llm"'}, rule["expr"]


def test_labels_that_a_rule_asks_for_stay():
    expr = alerts_of(target())[0]["GatewayErrors"]["expr"]
    assert 'mcp_gateway_requests_total{namespace="llm",status="error"}[5m]' in expr


def test_what_to_do_is_what_can_be_done_in_a_cluster():
    found, made = alerts_of(target())
    assert not re.search("docker|<", json.dumps(made["spec"]).replace("> <", "").replace(" < ", ""))
    runbook = found["LitellmErrors"]["annotations"]["runbook"]
    assert "kubectl --namespace llm logs --selector app.kubernetes.io/name=litellm" in runbook


def test_they_are_chosen_as_monitors_are():
    labels = {"kind": "service_monitor", "namespace": "m", "labels_of_monitor": {"release": "p"}}
    _found, made = alerts_of(target(said={"metrics": labels}))
    assert made["metadata"]["labels"]["release"] == "p"


def test_without_the_operator_there_are_none():
    assert alerts.objects(target(said={"metrics": {"kind": "none"}})) == []
