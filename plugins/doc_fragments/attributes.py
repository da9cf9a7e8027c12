# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """What modules of this collection say of check mode and diff."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Predicts with C(check_mode) whether something would change, and changes nothing.
  diff_mode:
    description: Says with C(--diff) what changed, or in C(check_mode) would change.
  idempotent:
    description: A second run with the same options changes nothing.
"""
