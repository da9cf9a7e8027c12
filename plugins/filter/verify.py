# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils import _verify


class FilterModule:
    def filters(self):
        return {
            "verify_report": _verify.report,
            "verify_table": _verify.table,
            "verify_model": _verify.model_checks,
            "verify_server": _verify.server_checks,
        }
