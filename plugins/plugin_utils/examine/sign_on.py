# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight reads of an inventory about sign-on."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import grafana_sign_on
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import sign_on
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import (
    UNUSABLE,
    external_from,
    topology_from,
)


def sign_on_problems(task_vars, template, authority):
    """What is wrong with the company's provider of identities, and with who signs in there.

    authority: reads a file of an authority; returns its text and why it cannot be used.
    """

    def given(name, default):
        return template(task_vars.get(name, default))

    groups = task_vars["groups"]
    try:
        oidc = given("platform_oidc", {})
        site = {
            "teams": [team.get("name") for team in given("teams", [])],
            "portals": groups.get("portal", []),
            "redis": groups.get("redis", []) or external_from(task_vars, template)["redis"],
            "portal_url": given("portal_public_url", "") or _url("portal", task_vars, template),
            "gateway_url": given("gateway_public_url", "") or _gateway_url(task_vars, template),
        }
        client = given("grafana_oidc", {})
        page = {
            "hosts": groups.get("grafana", []),
            "admins": given("grafana_admin_groups", []),
            "viewers": given("grafana_viewer_groups", []),
            "url": given("grafana_root_url", "") or (client and _page_url(task_vars, template)),
        }
    except UNUSABLE:
        return []  # what it needs is itself wrong, and reported
    return [
        *sign_on.problems(oidc, site),
        *grafana_sign_on.problems(oidc, client, page),
        *_authority_problems(oidc, authority),
    ]


def _gateway_url(task_vars, template):
    """As the gateway's role has it: where people come through a balancer, or into a cluster."""
    groups = task_vars["groups"]
    if not (groups.get("load_balancer") or groups.get("kubernetes")):
        return ""
    return _url("gateway", task_vars, template)


def _url(service, task_vars, template):
    """Where people find a service through the platform itself; empty where there is none."""
    if not task_vars["groups"].get(service):
        return ""
    return topology_from(task_vars, template).user_endpoint(service).url


def _page_url(task_vars, template):
    """Where the load balancer serves Grafana to operators; empty where it does not."""
    hosts = task_vars["groups"].get("grafana")
    pages = topology_from(task_vars, template).pages(hosts[0]) if hosts else []
    return {page["service"]: page["url"] for page in pages}.get("grafana", "")


def _authority_problems(oidc, authority):
    path = oidc.get("ca_file") if isinstance(oidc, dict) else None
    reason = authority(path)[1] if path else ""
    if not reason:
        return []
    return [
        Finding(
            "inventory",
            f"platform_oidc.ca_file is {path}: {reason}",
            "a PEM file on the control node",
            "correct the path, {{ inventory_dir }}/... for one beside the inventory",
        )
    ]
