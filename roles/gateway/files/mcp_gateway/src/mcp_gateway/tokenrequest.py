"""What a token endpoint is sent and answers (RFC 6749, 4.5, 5 and 6; RFC 8693). Pure.

The portal, which has people allow things, is a client by Authlib. Here two requests are left of
OAuth, a refresh and an exchange, in which nobody takes part; a test of the portal's compares how
both say who they are.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import urlencode

import msgspec

from mcp_gateway.ownheader import MAX_TOKEN, is_token

BASIC, POST, NONE = "client_secret_basic", "client_secret_post", "none"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  a type's name
JWT = "urn:ietf:params:oauth:token-type:jwt"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
MAX_ANSWER = 64 * 1024
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
# An error's name. What else a server says may have secrets in it, and is never repeated.
_ERROR = re.compile(r"[a-z_]{1,40}")


class TokenError(Exception):
    """No token; says why in one part of a sentence. `code` is the server's error, if it said one.

    Nothing of a token, a secret or a description is in it.
    """

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


class Tokens(msgspec.Struct, frozen=True):
    """A token response. `expires_in` is in seconds, 0 where the server does not tell."""

    access_token: str
    refresh_token: str = ""
    expires_in: int = 0
    issued_token_type: str = ""

    def __repr__(self) -> str:
        return f"Tokens({self.expires_in})"


def is_plain(text: str) -> bool:
    """Whether servers that decode ids and secrets (RFC 6749, 2.3.1) and others read the same."""
    return bool(_PLAIN.fullmatch(text))


def form(
    fields: dict[str, str], client_id: str, secret: str, method: str
) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of a request."""
    headers = [
        ("accept", "application/json"),
        ("content-type", "application/x-www-form-urlencoded"),
    ]
    if not secret:
        fields = {**fields, "client_id": client_id}
    elif method == POST:
        fields = {**fields, "client_id": client_id, "client_secret": secret}
    else:
        given = base64.b64encode(f"{client_id}:{secret}".encode("latin-1")).decode()
        headers.append(("authorization", f"Basic {given}"))
    return headers, urlencode(fields).encode()


def read(status: int, body: bytes) -> Tokens:
    """The tokens in an answer that can be sent as they are; TokenError otherwise."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise TokenError(f"answered HTTP {status} without a JSON object")
    if "error" in answer or status != 200:
        error = answer.get("error")
        code = error if isinstance(error, str) and _ERROR.fullmatch(error) else ""
        raise TokenError(f"refused ({code or f'HTTP {status}'})", code)
    kind = answer.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenError("handed out another type of token than bearer")
    access, refresh = answer.get("access_token"), answer.get("refresh_token") or ""
    for token in (access, refresh or access):
        if not isinstance(token, str) or not is_token(token):
            raise TokenError(
                f"handed out no token of 1 to {MAX_TOKEN} visible characters, as a header needs it"
            )
    return Tokens(access, refresh, _seconds(answer), str(answer.get("issued_token_type") or ""))


def _seconds(answer: dict[str, object]) -> int:
    """How long the token is good; some servers say a number as text."""
    said = answer.get("expires_in")
    if isinstance(said, str) and said.isascii() and said.isdigit() and len(said) < 12:
        said = int(said)
    if said is None:
        return 0
    if not isinstance(said, int) or isinstance(said, bool) or not 0 < said < 10**11:
        raise TokenError("does not say for how many seconds its token is good")
    return said
