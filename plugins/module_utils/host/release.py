# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which distribution a host runs, and versions as numbers. Pure."""

from __future__ import annotations

import re


def os_family(release: str) -> str:
    """debian, redhat, or the distribution's own id, from the text of os-release."""
    fields = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    own = fields.get("ID", "unknown").strip('"')
    ids = {own, *fields.get("ID_LIKE", "").strip('"').split()}
    if ids & {"debian", "ubuntu"}:
        return "debian"
    # openEuler names no relatives; its packages and its package manager are of that family.
    return "redhat" if ids & {"rhel", "fedora", "centos", "openEuler"} else own


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare it by; what follows a plus sign says nothing."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])) or (0,)
