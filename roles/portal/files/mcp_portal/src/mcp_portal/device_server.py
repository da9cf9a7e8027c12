"""Authlib's authorization server, as far as a terminal's sign-in needs it. Asks nobody.

What the store has of a request is put into the server before; what comes out is kept by `device`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc8628 import (
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
    DeviceCredentialDict,
)

from mcp_portal.people import Person

# The only client there is: the program in people's bundles. It has no secret.
CLIENT_ID = "intranet-mcp"
# How long a code may be typed, and how often a terminal asks whether it was; seconds.
EXPIRES_IN, INTERVAL = 600, 5


class Login(msgspec.Struct, frozen=True):
    """What a person allowed a terminal: keys of a team until then."""

    person: Person
    team: str
    # Where the store has the session in which it was allowed.
    session: str
    ends_at: float

    def check_client(self, _client: Client) -> bool:
        return True  # there is one

    def get_scope(self) -> str:
        return ""


class Client(ClientMixin):
    """A public client."""

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_allowed_scope(self, _scope: str) -> str:
        return ""

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "none"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in (DeviceCodeGrant.GRANT_TYPE, RefreshTokenGrant.GRANT_TYPE)


class Asked(OAuth2Request):
    """A request, whose form was read already."""

    def __init__(self, form: dict[str, str]) -> None:
        # Authlib refuses plain addresses; so does the configuration.
        super().__init__("POST", "https://portal")
        self.payload, self._form = BasicOAuth2Payload(form), form

    @property
    def form(self) -> dict[str, str]:
        return self._form


class Endpoint(DeviceAuthorizationEndpoint):
    CLIENT_AUTH_METHODS = ("none",)
    EXPIRES_IN, INTERVAL = EXPIRES_IN, INTERVAL

    def get_verification_uri(self) -> str:
        return self.server.page

    def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
        """It is kept by who asked."""


class DeviceGrant(DeviceCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    def query_device_credential(self, _device_code: str) -> DeviceCredentialDict | None:
        known = self.server.device
        return DeviceCredentialDict(client_id=CLIENT_ID, **known) if known else None

    def query_user_grant(self, _user_code: str) -> tuple[Login, bool] | None:
        return (self.server.login, True) if self.server.login else None

    def should_slow_down(self, _credential: DeviceCredentialDict) -> bool:
        return self.server.is_hasty


class RefreshGrant(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    def authenticate_refresh_token(self, _refresh_token: str) -> Login | None:
        return self.server.login

    def authenticate_user(self, refresh_token: Login) -> Person:
        return refresh_token.person

    def revoke_old_credential(self, refresh_token: Login) -> None:
        """It stays the same, so that an answer that got lost costs nobody a sign-in."""


class Server(AuthorizationServer):
    """One request; `create_...` return a status and a body. The body has no token yet."""

    def __init__(self, form: dict[str, str], page: str) -> None:
        super().__init__()
        self.asked, self.page = Asked(form), page
        self.device: dict[str, Any] | None = None
        self.login: Login | None = None
        self.is_hasty = False
        self.register_endpoint(Endpoint)
        self.register_grant(DeviceGrant)
        self.register_grant(RefreshGrant)
        self.register_token_generator("default", lambda **_about: {"token_type": "Bearer"})

    def query_client(self, client_id: str) -> Client | None:
        return Client() if client_id == CLIENT_ID else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """It is kept by who asked."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: object) -> OAuth2Request:
        return self.asked

    def handle_response(self, status: int, body: Any, headers: object) -> tuple[int, Any]:
        return status, dict(body)
