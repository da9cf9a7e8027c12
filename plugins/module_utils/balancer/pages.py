# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The monitoring's pages for operators elsewhere: one port of every engine's, and its login. Pure.

The balancer asks for the login, in one place for all pages, so that what asks these services inside
the platform needs none. Whoever asks too often is refused before the password is looked at.

Its hash is a fast one. A slow one protects passwords that people think of, and each request would
hold up everybody's: HAProxy computes it where it passes on streams. This password is generated.
"""

from __future__ import annotations

import base64
import hashlib

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

USER = "admin"
REALM = "monitoring"
# What nobody guesses, whatever the hash.
LEAST_CHARACTERS = 24


def login(password: str) -> dict[str, str]:
    """What engines compare a password with: hexadecimal SHA-256, and `{SHA}` of htpasswd."""
    if len(password) < LEAST_CHARACTERS:
        raise Unusable(
            f"found a password of {len(password)} characters for the monitoring's pages; expected "
            f"at least {LEAST_CHARACTERS}: leave monitoring_admin_password out of "
            "platform_secrets, and it is generated"
        )
    raw = password.encode()
    # The one hash of htpasswd that needs no library.
    sha1 = hashlib.sha1(raw, usedforsecurity=False).digest()
    return {
        "sha256": hashlib.sha256(raw).hexdigest(),
        "htpasswd": f"{USER}:{{SHA}}{base64.b64encode(sha1).decode()}",
    }


def hidden(page: dict) -> list[str]:
    """Paths that a page with a login of its own would answer to anybody."""
    return [page["path"] + path for path in page["hidden"]] if page["has_login"] else []
