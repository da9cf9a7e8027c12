"""What `per_user` of a server may say. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from mcp_gateway import ownheader, tokenrequest
from mcp_gateway.address import is_protected
from mcp_gateway.settings import Credentials, Exchange, PerUser, TokenClient, Upstream


def check(where: str, own: PerUser, up: Upstream, credentials: Credentials) -> Iterator[str]:
    """A process, or a session that callers share, has one credential for all of them."""
    if up.type != "http":
        yield f"{where}: found type {up.type}, expected http; use env_from or headers_from_files"
    if up.is_shared and up.type == "http":
        yield f"{where}: found mode shared, expected per_session: people share no session there"
    if not ownheader.NAME.fullmatch(own.header):
        yield f"{where}.header: found {own.header!r}, expected a header's name, as Authorization"
    elif ownheader.is_taken(own.header):
        yield f"{where}.header: found {own.header}, which has a meaning already; expected another"
    if not ownheader.PREFIX.fullmatch(own.prefix):
        yield f"{where}.prefix: found {own.prefix!r}, expected at most 100 visible ASCII characters"
    if own.oauth is not None and own.exchange is not None:
        yield f"{where}: found oauth and exchange, expected one of them"
    if own.exchange is not None:
        yield from _check_exchange(f"{where}.exchange", own.exchange)
        return
    if own.oauth is not None:
        yield from _check_client(f"{where}.oauth", own.oauth)
        if not is_protected(own.oauth.token_endpoint):
            found = own.oauth.token_endpoint
            yield f"{where}.oauth.token_endpoint: found {found!r}, expected an https address"
    given = (credentials.key_file, credentials.redis_url_file or credentials.redis_url)
    if not all(given) or not credentials.page_url:
        yield f"{where}: credentials needs key_file, redis_url_file (or redis_url) and page_url"


def _check_exchange(where: str, exchange: Exchange) -> Iterator[str]:
    yield from _check_client(where, exchange)
    if not is_protected(exchange.issuer):
        yield f"{where}.issuer: found {exchange.issuer!r}, expected an https address"
    if bool(exchange.audience) == bool(exchange.resource):
        yield f"{where}: set exactly one of audience, resource"
    if exchange.client_secret is None:
        yield f"{where}.client_secret: is required: whoever has a token could exchange it otherwise"


def _check_client(where: str, client: TokenClient) -> Iterator[str]:
    secret = client.client_secret
    if secret is not None and bool(secret.file) == bool(secret.env):
        yield f"{where}.client_secret: set exactly one of file, env"
    if client.token_endpoint_auth_method == tokenrequest.BASIC and not tokenrequest.is_plain(
        client.client_id
    ):
        yield (
            f"{where}.client_id: found {client.client_id!r}, which servers read in two ways; "
            f"expected token_endpoint_auth_method: {tokenrequest.POST}"
        )
