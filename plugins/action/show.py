# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.page import printable

display = Display()
# Not a list: of one text, Ansible would make one by cutting it at its commas.
ARGUMENTS = {"text": {"type": "raw", "required": True}}


class ActionModule(ActionBase):
    """Displays the text here, whose result would be one line of JSON to most callback plugins.

    Names in it may be of people's or programs' choice, and must not move the cursor of a terminal.
    """

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(ARGUMENTS)
        given = arguments["text"]
        lines = given if isinstance(given, list) else [given]
        text = printable("\n".join(str(line).rstrip("\n") for line in lines))
        display.display(text)
        return {"changed": False, "lines": text.count("\n") + 1}
