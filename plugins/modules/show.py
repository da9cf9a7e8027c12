# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# The work is done by the action plugin of this name.

from __future__ import annotations

DOCUMENTATION = r"""
module: show
author: intranet.mcp contributors (@intranet-mcp)
short_description: Show a text of several lines as it is
description:
  - Displays a report. M(ansible.builtin.debug) leaves that to the callback plugin, which by default
    prints one line of JSON.
options:
  text:
    description: A list of lines, or one text of several lines.
    type: raw
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
extends_documentation_fragment:
  - intranet.mcp.attributes
"""

EXAMPLES = r"""
- name: Show a report
  intranet.mcp.show:
    text: "{{ lines }}"
"""

RETURN = r"""
lines:
  description: How many lines were shown.
  returned: success
  type: int
  sample: 64
"""
