# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)


from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import (
    verify_files,
    verify_hosts,
    verify_models,
    verify_report,
    verify_status,
    verify_users,
)


class FilterModule:
    def filters(self):
        return guarded(
            {
                "verify_host_probes": verify_hosts.probes,
                "verify_cluster_probes": verify_hosts.cluster_probes,
                "verify_external_probes": verify_hosts.external_probes,
                "verify_from_control_node": verify_hosts.from_control_node,
                "verify_user_probes": verify_users.probes,
                "verify_fresh_probes": verify_users.fresh_probes,
                "verify_attacks": verify_users.attacks,
                "verify_member_keys": verify_users.member_keys,
                "verify_first_word": verify_models.first_word,
                "verify_results": verify_report.results,
                "verify_report": verify_report.report,
                "verify_table": verify_report.table,
                "verify_summary": verify_report.summary,
                "verify_junit": verify_files.junit,
                "verify_page": verify_files.page,
                "verify_status": verify_status.status,
            }
        )
