# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keycloak's feature of RFC 8707, which is experimental, and off as it is delivered."""

from __future__ import annotations

import gateway_lab
import httpx2
import keycloak_provider
import pytest
from mcp.client.auth import OAuthTokenError
from mcp_person import CALLBACK, Person, ask, claims

PORT = gateway_lab.free_port()
URL = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A Keycloak that has it, with the realm as it is."""
    folder = tmp_path_factory.mktemp("resource-indicators")
    try:
        with keycloak_provider.keycloak(
            folder, f"{URL}/mcp", CALLBACK, features="resource-indicators"
        ) as found:
            found.let_programs_register()
            yield found
    except gateway_lab.Unreachable as error:
        pytest.skip(f"needs Java, Maven and Keycloak from a mirror: {error}")


@pytest.fixture
def alice(other):
    with httpx2.Client(timeout=60, trust_env=False, verify=other.tls) as http:
        yield Person(
            other.tls, lambda address: keycloak_provider.pass_pages(http, address, "alice")
        )


def test_resource_has_to_be_the_address_of_a_client(other, alice, start_gateway):
    company = {"issuer": other.issuer, "ca_file": str(other.ca), "required_scopes": ["mcp"]}
    _running, url = start_gateway(PORT, **company)
    refused = alice.refusal(f"{url}/mcp", OAuthTokenError)
    assert "invalid_target" in refused, "the scope's mapper alone does not do"
    gateway = {"clientId": f"{url}/mcp", "attributes": {"resource_url": f"{url}/mcp"}}
    other.admin("POST", "/clients", {**gateway, "standardFlowEnabled": False})
    assert alice.tools(f"{url}/mcp")
    token = alice.storage.tokens.access_token
    assert claims(token)["aud"] == f"{url}/mcp" and ask(url, token).status_code == 200
