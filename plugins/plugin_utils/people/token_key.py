# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The public half of the key with which the portal signs access tokens, for the gateway.

The portal makes the private one of the same secret: `mcp_portal.access_tokens`. So the gateway asks
nobody for it, and has nothing with which it could sign.
"""

from __future__ import annotations

import base64
import hashlib

from ansible.errors import AnsibleFilterError

# Nobody needs it where the portal is no authorization server.
try:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError:
    ec = None

PURPOSE = b"intranet-mcp access tokens"
# Of the curve P-256 (SP 800-186): so many private keys there are, and one.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def portal_jwks(secret):
    """Return the public keys that follow from the secret, as a list of JSON Web Keys."""
    if ec is None:
        raise AnsibleFilterError(
            "found no Python package cryptography on the control node, expected it for the key of "
            "the portal's access tokens: install requirements.txt"
        )
    bits = HKDF(SHA256(), 48, None, PURPOSE).derive(secret.encode())
    number = int.from_bytes(bits, "big") % (ORDER - 1) + 1
    numbers = ec.derive_private_key(number, ec.SECP256R1()).public_key().public_numbers()
    x, y = (_base64url(value.to_bytes(32, "big")) for value in (numbers.x, numbers.y))
    named = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    kid = _base64url(hashlib.sha256(named.encode()).digest())  # RFC 7638
    return [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256"}]


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
