# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The company's provider in tests: a real one (oidc-provider, npm) with people of the tests."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import gateway_lab

HERE = Path(__file__).parent / "identity"
CLIENT_ID = "intranet-mcp"
CLIENT_SECRET = "a-client-secret-of-the-tests"
PEOPLE = {
    "alice": {
        "name": "Alice Example",
        "preferred_username": "alice",
        "email": "alice@example.internal",
        "groups": ["staff", "dev-payments"],
    },
    "bob": {
        "name": "Bob Example",
        "preferred_username": "bob",
        "email": "bob@example.internal",
        "groups": ["staff"],
    },
}
_FORM = re.compile(r'<form[^>]*action="([^"]+)"')
_PROMPT = re.compile(r'name="prompt" value="([^"]+)"')


class IdentityProvider:
    """A provider that runs, and whom it knows."""

    def __init__(self, program: gateway_lab.Program, issuer: str, people: Path) -> None:
        self.program, self.people, self.issuer = program, people, issuer

    def change(self, name: str, **claims) -> None:
        """Give somebody other claims; None takes one away. Nobody is signed out by that."""
        known = json.loads(self.people.read_text())
        merged = {**known.get(name, {}), **claims}
        known[name] = {claim: value for claim, value in merged.items() if value is not None}
        self.people.write_text(json.dumps(known))


@contextlib.contextmanager
def identity_provider(
    folder: Path, redirect_uris: list[str], port: int | None = None, **environment: str
) -> Iterator[IdentityProvider]:
    """Run a provider for as long as the context lasts: on loopback, or at ADDRESS over TLS."""
    modules = gateway_lab.node_packages("identity", HERE / "package-lock.json")
    port = port or gateway_lab.free_port()
    people = folder / "people.json"
    people.write_text(json.dumps(PEOPLE))
    # Node.js looks for packages beside the program.
    program = folder / "provider.mjs"
    program.write_text((HERE / "provider.mjs").read_text())
    with contextlib.suppress(FileExistsError):
        (folder / "node_modules").symlink_to(modules)
    client = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "grant_types": ["authorization_code", "client_credentials"],
        "response_types": ["code"],
        "redirect_uris": redirect_uris,
    }
    running = gateway_lab.Program(
        ["node", program],
        folder / "provider.log",
        {
            "PORT": str(port),
            "PEOPLE": str(people),
            "CLIENTS": json.dumps([client]),
            **environment,
        },
    )
    try:
        address = environment.get("ADDRESS")
        running.wait_for_port(port, address or "127.0.0.1")
        issuer = f"https://{address}:{port}" if address else f"http://127.0.0.1:{port}"
        yield IdentityProvider(running, issuer, people)
    finally:
        running.stop()


def pass_provider(browser, address: str, name: str) -> str:
    """Sign in at the provider's own pages as a browser would; return where it sends one back.

    browser: an httpx2.Client that keeps cookies and follows nothing by itself. One who has signed
    in before is not asked again.
    """
    response = browser.get(address)
    origin = address.split("/", 3)[:3]
    for _step in range(12):
        if response.is_redirect:
            address = urljoin(str(response.url), response.headers["location"])
            if address.split("/", 3)[:3] != origin:
                return address
            response = browser.get(address)
            continue
        form, prompt = _FORM.search(response.text), _PROMPT.search(response.text)
        if form is None or prompt is None:
            raise AssertionError(
                f"{response.url} answered {response.status_code}: {response.text[:500]}"
            )
        fields = {"prompt": prompt[1], "login": name, "password": "any"}
        response = browser.post(urljoin(str(response.url), form[1]), data=fields)
    raise AssertionError(f"still at the provider after 12 steps: {response.url}")
