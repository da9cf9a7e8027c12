# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The key of the portal's access tokens, as the gateway is told it."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import token_key

# The portal's tests have the same secret and the same key.
SECRET = "a-secret-of-the-tests-from-which-a-key-follows"
KID = "hxKH0kwGutqCBlbTK6XXfkXsUtXidZfUc-tQbFSwKBc"


def test_key_is_the_one_that_the_portal_signs_with():
    (key,) = token_key.portal_jwks(SECRET)
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}, "nothing of it is private"
    assert key["kid"] == KID


def test_another_secret_is_another_key():
    assert token_key.portal_jwks("another") != token_key.portal_jwks(SECRET)


def test_control_node_without_cryptography_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(token_key, "ec", None)
    with pytest.raises(AnsibleFilterError, match="requirements"):
        token_key.portal_jwks(SECRET)
