# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Programs that keep logins, as the docker program asks them."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import credential_helper


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Return a function that makes a helper out of a shell script."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def make(script):
        program = tmp_path / "docker-credential-fake"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return make


def test_a_login_is_asked_for_by_the_registrys_address(helper):
    helper('read -r server; printf \'{"Username": "%s", "Secret": "s"}\' "$server"')
    assert credential_helper.ask("fake", "registry.internal", 10) == ("registry.internal", "s")


def test_a_helper_without_a_login_is_no_error(helper):
    helper("echo credentials not found in native keychain; exit 1")
    assert credential_helper.ask("fake", "registry.internal", 10) is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo locked >&2; exit 3", "ended with 3: locked"),
        ("exit 3", "ended with 3: it said nothing"),
        ("echo hello", "something else than a login"),
        ("exec sleep 30", "gave no answer within"),
    ],
)
def test_a_helper_that_fails_is_named_with_its_reason(helper, script, words):
    helper(script)
    with pytest.raises(Unusable, match=f"docker-credential-fake .*{words}"):
        credential_helper.ask("fake", "registry.internal", 1)


def test_a_helper_that_is_missing_is_named():
    with pytest.raises(Unusable, match="docker-credential-missing cannot be run"):
        credential_helper.ask("missing", "registry.internal", 1)
