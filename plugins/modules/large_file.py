# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# The work is done by the action plugin of this name.

from __future__ import annotations

DOCUMENTATION = r"""
module: large_file
author: intranet.mcp contributors (@intranet-mcp)
short_description: Copy a large file to a host
description:
  - Does what M(ansible.builtin.copy) does, without the compression that Ansible's default arguments
    of ssh ask for, which takes longer than a local network. Where these arguments do not ask for
    it, or the host is not reached by SSH, there is no difference.
  - Opens connections of its own. A host that accepts none gets the file through the first one.
options:
  src:
    description: The file on the control node.
    type: path
    required: true
  dest:
    description: Where it is to be on the host.
    type: path
    required: true
  mode:
    description: Its permissions.
    type: raw
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
extends_documentation_fragment:
  - intranet.mcp.attributes
seealso:
  - module: ansible.builtin.copy
"""

EXAMPLES = r"""
- name: Copy weights
  intranet.mcp.large_file:
    src: /srv/weights/qwen3-8b.gguf
    dest: /var/lib/intranet-mcp/weights/qwen3-8b.gguf
    mode: "0644"
"""

RETURN = r"""
dest:
  description: Where the file is on the host. The other values are those of M(ansible.builtin.copy).
  returned: success
  type: str
  sample: /var/lib/intranet-mcp/weights/qwen3-8b.gguf
checksum:
  description: The SHA-1 sum of the file.
  returned: success
  type: str
  sample: 6d1a2ff1a8fd6ae2b9a8ab3e2d8ea8c71f8d3f06
"""
