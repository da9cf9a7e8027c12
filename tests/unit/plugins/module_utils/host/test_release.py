# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.host.release import os_family


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("ID=debian\nVERSION_ID=12", "debian"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"', "debian"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "redhat"),
        ('ID="openEuler"\nVERSION_ID="24.03"', "redhat"),
        ("ID=alpine", "alpine"),
        ("", "unknown"),
    ],
)
def test_the_family_comes_from_os_release(release, expected):
    assert os_family(release) == expected
