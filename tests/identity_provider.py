# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The company's provider in tests: a real one (oidc-provider, npm) with people of the tests."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

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
# As person.py says it.
AT_PROVIDER = "at the provider"
SIGN_IN_SECONDS = 240
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
        self._write(known)

    def remove(self, name: str) -> None:
        """Delete somebody's account."""
        known = json.loads(self.people.read_text())
        del known[name]
        self._write(known)

    def _write(self, known: dict) -> None:
        """Put another file in its place, since the provider may read it at that moment."""
        new = self.people.with_suffix(".new")
        new.write_text(json.dumps(known))
        new.replace(self.people)


class Company(NamedTuple):
    """A company's authority, and a certificate of it: paths of PEM files."""

    ca: Path
    certificate: Path
    key: Path


def company(folder: Path, address: str, name: str = "") -> Company:
    """Make an authority, and what it signs for an address, and for a name where there is one."""

    def openssl(*arguments: str | Path) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    authority = ("-keyout", folder / "ca.key", "-out", folder / "ca.crt", "-subj", "/CN=Company")
    openssl("req", "-x509", *new, *authority, "-addext", "keyUsage=critical,keyCertSign")
    request = ("-keyout", folder / "sso.key", "-out", folder / "sso.csr", "-subj", "/O=x")
    openssl("req", *new, *request)
    (folder / "sso.ext").write_text(
        f"subjectAltName=IP:{address}{f',DNS:{name}' if name else ''}\nbasicConstraints=CA:FALSE\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    by = ("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial")
    made = ("-in", folder / "sso.csr", "-extfile", folder / "sso.ext", "-out", folder / "sso.crt")
    openssl("x509", "-req", *by, *made)
    return Company(folder / "ca.crt", folder / "sso.crt", folder / "sso.key")


@contextlib.contextmanager
def identity_provider(
    folder: Path,
    redirect_uris: list[str],
    port: int | None = None,
    address: str = "127.0.0.1",
    tls: Company | None = None,
    **environment: str,
) -> Iterator[IdentityProvider]:
    """Run a provider for as long as the context lasts: on loopback, or at an address over TLS."""
    if tls is not None:
        environment |= {"CERTIFICATE": str(tls.certificate), "KEY": str(tls.key)}
    modules = gateway_lab.node_packages("identity", HERE / "package-lock.json")
    port = port or gateway_lab.free_port()
    people = folder / "people.json"
    people.write_text(json.dumps(PEOPLE))
    # Node.js looks for packages beside the program.
    program = folder / "provider.mjs"
    program.write_text((HERE / "provider.mjs").read_text())
    with contextlib.suppress(FileExistsError):
        (folder / "node_modules").symlink_to(modules)
    refresh = ["refresh_token"] if "REFRESH_TOKENS" in environment else []
    client = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "grant_types": ["authorization_code", "client_credentials", *refresh],
        "response_types": ["code"],
        "redirect_uris": redirect_uris,
    }
    running = gateway_lab.Program(
        ["node", program],
        folder / "provider.log",
        {
            "ADDRESS": address,
            "PORT": str(port),
            "PEOPLE": str(people),
            "CLIENTS": json.dumps([client]),
            **environment,
        },
    )
    try:
        running.wait_for_port(port, address)
        issuer = f"{'http' if tls is None else 'https'}://{address}:{port}"
        yield IdentityProvider(running, issuer, people)
    finally:
        running.stop()


def sign_in(
    portal: str,
    name: str,
    file: Path,
    meanwhile: Callable[[], None] = lambda: None,
    address: str | None = None,
) -> dict[str, Any]:
    """Sign in at a portal in Chromium; return what was seen there, and save settings into a file.

    portal: its address, whose host resolves to `address`. meanwhile() is called when the provider
    asks who it is. Raises LabError where there is no Chromium.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise gateway_lab.Unreachable(
            "Chromium was not found on PATH; install the package chromium"
        )
    python = gateway_lab.python_environment("browser", HERE / "browser.lock")
    place = [chromium, portal, address or str(urlsplit(portal).hostname), name, file]
    with subprocess.Popen(
        [python, HERE / "person.py", *place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as person:
        too_late = threading.Timer(SIGN_IN_SECONDS, person.kill)
        too_late.start()
        try:
            lines = []
            for line in person.stdout:
                lines.append(line.strip())
                if lines[-1] == AT_PROVIDER:
                    meanwhile()
                    person.stdin.write("\n")
                    person.stdin.flush()
        finally:
            too_late.cancel()
            person.kill()
    if not lines or not lines[-1].startswith("{"):
        raise AssertionError(f"no sign-in within {SIGN_IN_SECONDS} s; the person said: {lines}")
    return json.loads(lines[-1])


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
