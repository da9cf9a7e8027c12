# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from functools import partial

from ansible.plugins.action import copy
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.bulk import uncompressed

ARGUMENTS = {
    "src": {"type": "path", "required": True},
    "dest": {"type": "path", "required": True},
    "mode": {"type": "raw"},
}


class ActionModule(copy.ActionModule):
    """Ansible's own copy, which sends the file itself in a connection that does not compress."""

    def run(self, tmp=None, task_vars=None):
        self.validate_argument_spec(ARGUMENTS)
        return super().run(tmp, task_vars)

    def _transfer_file(self, local_path, remote_path):
        send = partial(super()._transfer_file, local_path, remote_path)
        return uncompressed(self._connection, send)
