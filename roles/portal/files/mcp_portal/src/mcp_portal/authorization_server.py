"""Authlib's authorization server, as far as programs' log-ins need it (OAuth 2.1). Asks nobody.

What the store has of a request is put into the server before; what comes out is kept by
`authorization`. PKCE is S256 and never left out, and each token is for one resource (RFC 8707).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request, errors
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, BaseGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.requests import OAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge

from mcp_portal.people import Person
from mcp_portal.programs import SCOPE, Program

Pairs = Sequence[tuple[str, str]]
# Authlib repeats some values in errors, which have none but these (RFC 6749, 4.1.2.1).
REPEATED = ("response_type", "redirect_uri", "client_id", "grant_type", "scope")
MAX_STATE = 2048


class InvalidTargetError(errors.OAuth2Error):
    """RFC 8707, 2."""

    error = "invalid_target"
    description = "resource has to be an address of this platform's gateway, as it tells its own"


class Code(msgspec.Struct, frozen=True):
    """What a person allowed a program, until it comes with the code."""

    program: str  # its digest
    redirect_uri: str
    resource: str
    code_challenge: str
    person: Person
    team: str
    # Where the store has the session in which it was allowed.
    session: str
    ends_at: float
    # By which everything that comes of it is found.
    family: str
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return SCOPE


class Grant(msgspec.Struct, frozen=True):
    """What a program has of a person: access tokens for one resource, until the sign-in ends."""

    program: str
    resource: str
    person: Person
    team: str
    ends_at: float
    # The hash of the one refresh token that is good now.
    current: str

    def check_client(self, program: Program) -> bool:
        return self.program == program.digest

    def get_scope(self) -> str:
        return SCOPE


class Payload(OAuth2Payload):
    """The parameters of a request, of which none may come twice."""

    def __init__(self, pairs: Pairs) -> None:
        self._datalist: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in pairs:
            self._datalist[name].append(value)
        self._data = {name: values[0] for name, values in self._datalist.items()}

    @property
    def data(self) -> dict[str, str]:
        return self._data

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        return self._datalist

    def check(self) -> None:
        """Raise an error where a parameter comes twice, or has what none of its kind has."""
        for name, values in self._datalist.items():
            # Some clients repeat the resource, which then has to be the same.
            if len(set(values) if name == "resource" else values) > 1:
                raise errors.InvalidRequestError("A parameter comes twice.")
        for name in REPEATED:
            value = self._data.get(name, "")
            if not (value.isascii() and value.isprintable()) or set('"\\') & set(value):
                raise errors.InvalidRequestError("A parameter has characters that it cannot have.")
        state = self._data.get("state", "")
        if len(state) > MAX_STATE or not (state.isascii() and state.isprintable()):
            raise errors.InvalidRequestError("The state is too long, or has other characters.")


class Asked(OAuth2Request):
    """A request, whose parameters were read already."""

    def __init__(self, method: str, pairs: Pairs) -> None:
        # Authlib refuses plain addresses; so does the configuration.
        super().__init__(method, "https://portal")
        self.payload = Payload(pairs)

    @property
    def args(self) -> dict[str, str]:
        return self.payload.data

    @property
    def form(self) -> dict[str, str]:
        return self.payload.data


class Pkce(CodeChallenge):
    """S256 alone, required at both ends; Authlib takes `plain` unless told otherwise."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: BaseGrant, redirect_uri: str) -> None:
        asked = grant.request.payload.data
        if not asked.get("code_challenge") or asked.get("code_challenge_method") != "S256":
            raise errors.InvalidRequestError("PKCE with code_challenge_method S256 is required.")
        super().validate_code_challenge(grant, redirect_uri)


class Resource:
    """A token is for one address of the gateway, which the program has to name."""

    def __call__(self, grant: BaseGrant) -> None:
        grant.register_hook("after_validate_authorization_request_payload", self.validate)

    def validate(self, grant: BaseGrant, _redirect_uri: str) -> None:
        if grant.request.payload.data.get("resource") not in grant.server.resources:
            raise InvalidTargetError


class CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    def validate_requested_scope(self) -> None:
        """There is one, which each token has, whatever was asked for."""

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        self.server.code_made = code

    def query_authorization_code(self, _code: str, client: Program) -> Code | None:
        code = self.server.code
        return code if code and code.program == client.digest else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """It is taken by who asked."""

    def authenticate_user(self, authorization_code: Code) -> Person:
        return authorization_code.person


class RefreshGrant(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    def authenticate_refresh_token(self, _refresh_token: str) -> Grant | None:
        return self.server.grant

    def authenticate_user(self, refresh_token: Grant) -> Person:
        return refresh_token.person

    def revoke_old_credential(self, refresh_token: Grant) -> None:
        """It is replaced by who asked."""


class Server(AuthorizationServer):
    """One request; `create_...` return a status and a body. The body has no token yet."""

    def __init__(
        self, method: str, pairs: Pairs, issuer: str, find: Callable[[str], Program | None],
        resources: Sequence[str],
    ) -> None:  # fmt: skip
        super().__init__()
        self.asked, self.issuer, self.resources = Asked(method, pairs), issuer, resources
        self._find = find
        self.code: Code | None = None
        self.grant: Grant | None = None
        self.code_made = ""
        self.register_grant(CodeGrant, [Pkce(required=True), Resource()])
        self.register_grant(RefreshGrant)
        self.register_token_generator("default", lambda **_about: {"token_type": "Bearer"})

    def consent(self) -> BaseGrant:
        """The request of a program, once it is one that a person can be asked about.

        Raises an OAuth2Error, with a `redirect_uri` where the program may be told of it.
        """
        self.asked.payload.check()
        return self.get_consent_grant()

    def returned(self, grant: BaseGrant, person: Person | None) -> str:
        """Where the browser goes from the page: with a code, or without where it was denied."""
        return self.create_authorization_response(self.asked, person, grant=grant)[1]

    def told(self, error: errors.OAuth2Error) -> str:
        """Where a program hears of an error."""
        return self.handle_error_response(self.asked, error)[1]

    def query_client(self, client_id: str) -> ClientMixin | None:
        return self._find(client_id)

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """It is kept by who asked."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: object) -> OAuth2Request:
        return self.asked

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any]:
        """A body, or an address to which RFC 9207 adds who answers."""
        if status == 302:
            return status, add_params_to_uri(dict(headers)["Location"], [("iss", self.issuer)])
        return status, dict(body)
