# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils import _verify, _verify_files


class FilterModule:
    def filters(self):
        return {
            "verify_report": _verify.report,
            "verify_table": _verify.table,
            "verify_summary": _verify.summary,
            "verify_junit": _verify_files.junit,
            "verify_page": _verify_files.page,
            "verify_model": _verify.model_checks,
            "verify_room": _verify.room_probe,
            "verify_first_word": _verify.first_word_probe,
            "verify_servers": _verify.server_probes,
            "verify_door": _verify.door,
            "verify_shared_first": _verify.shared_first,
            "verify_tools": _verify.aggregated_tools,
            "verify_certificate": _verify.certificate_probe,
            "verify_teams": _verify.team_probes,
            "verify_people": _verify.people_rows,
        }
