# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
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


def page_links(pages: list[dict]) -> dict:
    """By service, the options by which Prometheus and Alertmanager link to their page."""
    return {
        page["service"]: [f"--web.external-url={page['url']}", "--web.route-prefix=/"]
        for page in pages
    }


class FilterModule:
    def filters(self):
        return guarded(
            {
                "alert_robots": alertmanager.robots,
                "alertmanager_config": alertmanager.config,
                "page_links": page_links,
                "grafana_egress": grafana_sign_on.egress,
                "grafana_files": grafana.files,
                "grafana_sign_on": grafana_sign_on.env,
                "log_siem": logs.resolved,
                "log_siem_places": logs.places,
                "prometheus_config": prometheus.config,
                "prometheus_rules": rules.rules,
                "prometheus_secrets": prometheus.secrets,
                "status_queries": status.queries,
                "status_spans": status.spans,
                "status_report": status.report,
                "status_page": status_page.page,
                "status_table": status_table.table,
            }
        )
