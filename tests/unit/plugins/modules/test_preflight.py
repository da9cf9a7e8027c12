# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.modules import preflight


@pytest.fixture
def failures(monkeypatch):
    """Return a function that gives what is wrong with debian://, for a host's own mirror."""

    def ask(mirror):
        monkeypatch.setattr(preflight, "own_debian_mirrors", lambda: (mirror, ""))
        source = {"name": "build", "urls": ["debian://"], "path": None}
        host = preflight.Host({"sources": [source], "source_timeout_seconds": 5})
        return host.source_failures()

    return ask


def test_the_mirror_that_is_asked_is_the_one_builds_will_use(failures, service, closed_port):
    service.replies[("GET", "/debian")] = (403, {})
    assert failures(f"{service.url}/debian") == {}
    assert "refused" in failures(f"{closed_port}/debian")["debian://"]


def test_a_host_without_a_debian_mirror_is_told_what_to_set(failures):
    assert "image_apt_mirror" in failures("")["debian://"]
