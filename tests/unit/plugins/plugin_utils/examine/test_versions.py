# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.versions import version_problems


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("litellm", "1.84.0", ""),
        ("litellm", "1.106.2", ""),
        ("litellm", "1.83.9", "too old"),
        ("litellm", "1.82.7", "malware"),
        ("litellm", "1.107.0", "quarantined"),
        ("ollama", "0.17.0", "CVE-2026-7482"),
        ("ollama", "0.34.2", ""),
        ("mcp", "1.30.0", ""),
        ("mcp", "2.1.9", "too old"),
        ("mcp", "2.2.0", ""),
        ("mcp", "3.0", ""),
        ("nvidia-container-toolkit", "1.17.7", "too old"),
        ("nvidia-container-toolkit", "1.17.8-1", ""),
        ("@modelcontextprotocol/server-filesystem", "2025.3.28", "too old"),
        ("unheard-of", "0.0.1", ""),
    ],
)
def test_versions_meet_floors_and_the_block_list(name, version, words):
    problems = version_problems({name: version}, {})
    assert bool(problems) == bool(words)
    assert words in "".join(map(str, problems))


def test_only_the_version_named_is_allowed_past_the_list():
    assert version_problems({"litellm": "1.82.7"}, {"litellm": "1.82.7"}) == []
    assert version_problems({"litellm": "1.82.8"}, {"litellm": "1.82.7"})
