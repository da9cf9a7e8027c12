# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify, verify_files


class FilterModule:
    def filters(self):
        return {
            "verify_report": verify.report,
            "verify_table": verify.table,
            "verify_summary": verify.summary,
            "verify_junit": verify_files.junit,
            "verify_page": verify_files.page,
            "verify_model": verify.model_checks,
            "verify_room": verify.room_probe,
            "verify_first_word": verify.first_word_probe,
            "verify_servers": verify.server_probes,
            "verify_door": verify.door,
            "verify_shared_first": verify.shared_first,
            "verify_tools": verify.aggregated_tools,
            "verify_certificate": verify.certificate_probe,
            "verify_teams": verify.team_probes,
            "verify_people": verify.people_rows,
        }
