"""Access tokens of the portal (RFC 9068): signed with a key of which others have the public half.

The key follows from a secret of the site, so every replica has the same, and whoever deploys the
gateway tells it the public half; it asks nobody. (`portal_jwks` of the collection makes the same.)
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from mcp_portal.members import Member
from mcp_portal.programs import SCOPE

ALGORITHM = "ES256"
PURPOSE = b"intranet-mcp access tokens"
# Of the curve P-256 (SP 800-186): so many private keys there are, and one.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MIN_SECRET = 32
# What "End all my sessions" may take to reach the gateway, which asks nobody about a token.
SECONDS = 300


class AccessTokens:
    """Makes tokens, and tells with which key they are checked."""

    def __init__(self, secret: str, issuer: str) -> None:
        if len(secret) < MIN_SECRET:
            raise ValueError(f"found {len(secret)} characters, expected at least {MIN_SECRET}")
        # As FIPS 186-5, A.2.1, makes one of random bits, 128 more than the curve has.
        bits = HKDF(SHA256(), 48, None, PURPOSE).derive(secret.encode())
        number = int.from_bytes(bits, "big") % (ORDER - 1) + 1
        pem = ec.derive_private_key(number, ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        self.issuer = issuer
        self._key = ECKey.import_key(pem)
        self._kid = self._key.thumbprint()

    def published(self) -> dict[str, Any]:
        """The public half, as a set of keys (RFC 7517)."""
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "kid": self._kid, "use": "sig", "alg": ALGORITHM}]}

    def make(
        self, person: str, member: Member, team: str, resource: str, program: str, seconds: int
    ) -> str:
        """Return a token for one resource, with the claims that the gateway reads."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": person,
            "aud": resource,
            "client_id": f"program-{program}",
            "scope": SCOPE,
            "team": team,
            "groups": member.groups,
            "iat": now,
            "exp": now + seconds,
            "jti": secrets.token_urlsafe(16),
        }
        if member.name:
            claims["preferred_username"] = member.name
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": self._kid}
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])
