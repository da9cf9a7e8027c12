# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils import _doctor_report


class FilterModule:
    def filters(self):
        return {
            "doctor_report": _doctor_report.report,
            "doctor_treatments": _doctor_report.treatments,
            "doctor_table": _doctor_report.table,
        }
