# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.progress import ProgressAction


class ActionModule(ProgressAction):
    """Shows how far a pull or an upload is while it runs."""

    def execute(self, arguments: dict, task_vars: dict) -> dict:
        """Run the module; a model that is there already costs one plain call, not a watched job."""
        if self._may_be_in_place(arguments):
            foreseen = self._foresee(arguments, task_vars)
            if not foreseen.get("changed") and not foreseen.get("failed"):
                return foreseen
        return super().execute(arguments, task_vars)

    def _may_be_in_place(self, arguments: dict) -> bool:
        """Whether check mode can tell that nothing is to do (it loads and asks nothing)."""
        asks_more = (arguments.get(option) or False for option in ("keep_loaded", "update"))
        is_plain = not (self._task.check_mode or self._task.async_val)
        return is_plain and not any(boolean(value) for value in asks_more)

    def _foresee(self, arguments: dict, task_vars: dict) -> dict:
        self._task.check_mode = True
        try:
            return self._execute_module(module_args=arguments, task_vars=task_vars)
        finally:
            self._task.check_mode = False
