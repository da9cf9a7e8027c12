# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What LiteLLM does when it starts on a closed network."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration


def test_nothing_is_downloaded_at_the_start(docker, litellm):
    done = docker.try_run("logs", litellm.container)
    started, complete, _later = (done.stdout + done.stderr).partition(
        "Application startup complete"
    )
    assert complete
    found = [line for line in started.splitlines() if "download" in line or "Traceback" in line]
    assert not found
