# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.plugins.action import copy
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.bulk import uncompressed


class ActionModule(copy.ActionModule):
    """Ansible's own copy, in a connection that does not compress."""

    def run(self, tmp=None, task_vars=None):
        given = dict(self._task.args)

        def send():
            self._task.args = dict(given)
            return super(ActionModule, self).run(tmp, task_vars)

        return uncompressed(self._connection, send)
