# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.common.filters import guarded
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import doctor_report


class FilterModule:
    def filters(self):
        return guarded(
            {
                "doctor_report": doctor_report.report,
                "doctor_fixes": doctor_report.fixes,
                "doctor_of_probes": doctor_report.of_probes,
                "doctor_with_probes": doctor_report.with_probes,
                "doctor_table": doctor_report.table,
            }
        )
