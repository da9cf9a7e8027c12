# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import (
    alertmanager,
    grafana,
    grafana_sign_on,
    logs,
    prometheus,
    rules,
    status,
    status_page,
    status_table,
)


def _clear_errors(function):
    """A pure function as a filter: its own errors become one line without a traceback."""

    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ServiceError as error:
            raise AnsibleFilterError(str(error)) from error

    return call


def page_links(pages):
    """By service, the options by which Prometheus and Alertmanager link to their page."""
    return {
        page["service"]: [f"--web.external-url={page['url']}", "--web.route-prefix=/"]
        for page in pages
    }


class FilterModule:
    def filters(self):
        return {
            "alert_robots": alertmanager.robots,
            "alertmanager_config": _clear_errors(alertmanager.config),
            "page_links": page_links,
            "grafana_egress": grafana_sign_on.egress,
            "grafana_files": grafana.files,
            "grafana_sign_on": grafana_sign_on.env,
            "log_siem": _clear_errors(logs.resolved),
            "log_siem_places": logs.places,
            "prometheus_config": _clear_errors(prometheus.config),
            "prometheus_rules": rules.rules,
            "prometheus_secrets": prometheus.secrets,
            "status_queries": _clear_errors(status.queries),
            "status_spans": _clear_errors(status.spans),
            "status_report": _clear_errors(status.report),
            "status_page": status_page.page,
            "status_table": status_table.table,
        }
