# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keycloak as the company's provider: over TLS on loopback, with the realm of tests/keycloak.

It runs as in production (`start --optimized`), with a database of a file that each run has for
itself. What an administrator does at its console is done by its admin API.
"""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import gateway_lab
import httpx2
import identity_provider

HERE = Path(__file__).parent / "keycloak"
REALM = "company"
PASSWORD = "a-password-of-the-tests"
ADMINISTRATOR = "administrator-of-the-tests"
# A client of the tests, for tokens without a browser.
TERMINAL = "terminal"
# On two cores with much other work.
START_SECONDS = 900
# Where the realm's files say who is asked; here it is somebody else.
PLATFORM = "https://ai.example.internal"
# Its feature of RFC 8707, which is experimental: off, as it is delivered, and on.
FEATURES = {"delivered": [], "resource-indicators": ["--features=resource-indicators"]}
# Small and soon ready, not fast for long.
JAVA = {
    "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx320m",
    "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
}
_FORM = re.compile(r'<form[^>]*\baction="([^"]+)"')
_HIDDEN = re.compile(r'<input[^>]*type="hidden"[^>]*name="(\w+)"[^>]*value="([^"]*)"')


class Keycloak:
    """A Keycloak that runs, and its admin API."""

    def __init__(self, url: str, ca: Path) -> None:
        self.url, self.ca, self.issuer = url, ca, f"{url}/realms/{REALM}"
        self.tls = ssl.create_default_context(cafile=ca)
        self._http = httpx2.Client(verify=self.tls, timeout=120, trust_env=False)

    def is_ready(self) -> bool:
        try:
            return self._http.get(f"{self.url}/realms/master").status_code == 200
        except httpx2.HTTPError:
            return False

    def admin(self, method: str, path: str, body: Any = None, realm: str = f"/{REALM}") -> Any:
        """Ask the admin API, and return its answer. A token lives for a minute: a new one each."""
        asked = {"grant_type": "password", "client_id": "admin-cli", "username": ADMINISTRATOR}
        issuer = f"{self.url}/realms/master/protocol/openid-connect/token"
        granted = self._http.post(issuer, data={**asked, "password": PASSWORD}).json()
        bearer = {"authorization": f"Bearer {granted['access_token']}"}
        address = f"{self.url}/admin/realms{realm}{path}"
        answer = self._http.request(method, address, json=body, headers=bearer)
        if answer.is_error:
            raise AssertionError(f"{method} {address}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def import_realm(self, resource: str, callback: str) -> None:
        """Import the realm, for a portal and a gateway at addresses of the tests."""
        text = (HERE / "realm.json").read_text()
        realm = json.loads(text.replace(f"{PLATFORM}/portal/callback", callback))
        self.admin("POST", "", realm, realm="")
        # In the realm's own list it would be the only scope: the built-in ones are left out then.
        scope = json.loads((HERE / "scope.json").read_text().replace(f"{PLATFORM}/mcp", resource))
        self.admin("POST", "/client-scopes", scope)
        self.admin("PUT", f"/default-optional-client-scopes/{self.scope('mcp')['id']}")
        terminal = {"clientId": TERMINAL, "publicClient": True, "fullScopeAllowed": False}
        self.admin("POST", "/clients", {**terminal, "directAccessGrantsEnabled": True})

    def scope(self, name: str) -> dict[str, Any]:
        return next(scope for scope in self.admin("GET", "/client-scopes") if scope["name"] == name)

    def client(self, name: str) -> dict[str, Any]:
        [found] = self.admin("GET", f"/clients?clientId={name}")
        return found

    def user(self, name: str) -> dict[str, Any]:
        [found] = self.admin("GET", f"/users?username={name}&exact=true")
        return found

    def move(self, name: str, group: str, method: str) -> None:
        """Put somebody into a group (PUT), or take them out (DELETE)."""
        id_ = self.admin("GET", f"/group-by-path/{group}")["id"]
        self.admin(method, f"/users/{self.user(name)['id']}/groups/{id_}")

    def policy(self, name: str, **config: list[str]) -> None:
        """Change a policy for clients that register themselves without a token."""
        kind = "org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy"
        for component in self.admin("GET", f"/components?type={kind}"):
            if (component["name"], component["subType"]) == (name, "anonymous"):
                component["config"].update(config)
                self.admin("PUT", f"/components/{component['id']}", component)
                return
        raise AssertionError(f"no policy {name}")

    def let_programs_register(self, may: bool = True) -> None:
        """Trust programs that return to the person's own machine, or nobody, as delivered."""
        config = {"trusted-hosts": ["localhost", "127.0.0.1"] if may else []}
        config["host-sending-registration-request-must-match"] = ["false" if may else "true"]
        self.policy("Trusted Hosts", **config)

    def rotate_keys(self) -> None:
        """Sign with a new key, and take the old one away at once."""
        [realm] = [r for r in self.admin("GET", "", realm="") if r["realm"] == REALM]
        components = self.admin("GET", "/components?type=org.keycloak.keys.KeyProvider")
        [old] = [c for c in components if c["providerId"] == "rsa-generated"]
        new = {key: old[key] for key in ("providerId", "providerType")}
        config = {"priority": ["200"], "algorithm": ["RS256"]}
        made = {**new, "name": "new", "parentId": realm["id"], "config": config}
        self.admin("POST", "/components", made)
        self.admin("DELETE", f"/components/{old['id']}")

    @contextlib.contextmanager
    def another_audience(self, audience: str) -> Iterator[None]:
        """Tokens for tools are for something else, too, for as long as the context lasts."""
        mappers = f"/client-scopes/{self.scope('mcp')['id']}/protocol-mappers/models"
        [known] = [m for m in self.admin("GET", mappers) if m["name"] == "audience"]
        made = {key: known[key] for key in ("protocol", "protocolMapper")}
        config = {**known["config"], "included.custom.audience": audience}
        self.admin("POST", mappers, {**made, "name": "another", "config": config})
        try:
            yield
        finally:
            [made] = [m for m in self.admin("GET", mappers) if m["name"] == "another"]
            self.admin("DELETE", f"{mappers}/{made['id']}")

    @contextlib.contextmanager
    def groups_without_path(self) -> Iterator[None]:
        """Tokens for tools tell groups by their names alone, for as long as the context lasts."""
        mappers = f"/client-scopes/{self.scope('mcp')['id']}/protocol-mappers/models"
        [known] = [m for m in self.admin("GET", mappers) if m["name"] == "groups"]
        changed = {**known, "config": {**known["config"], "full.path": "false"}}
        self.admin("PUT", f"{mappers}/{known['id']}", changed)
        try:
            yield
        finally:
            self.admin("PUT", f"{mappers}/{known['id']}", known)

    @contextlib.contextmanager
    def lifespan(self, client: str, seconds: int) -> Iterator[None]:
        """A client's access tokens live for so long, for as long as the context lasts."""
        known = self.client(client)
        attributes = {**known["attributes"], "access.token.lifespan": str(seconds)}
        self.admin("PUT", f"/clients/{known['id']}", {**known, "attributes": attributes})
        try:
            yield
        finally:
            attributes["access.token.lifespan"] = ""
            self.admin("PUT", f"/clients/{known['id']}", {**known, "attributes": attributes})

    @contextlib.contextmanager
    def without_scope(self, client: str, name: str) -> Iterator[None]:
        """A client lacks one of the realm's own scopes, for as long as the context lasts."""
        scopes = f"/clients/{self.client(client)['id']}/default-client-scopes"
        place = f"{scopes}/{self.scope(name)['id']}"
        self.admin("DELETE", place)
        try:
            yield
        finally:
            self.admin("PUT", place)

    def token(self, client: str, **asked: str) -> dict[str, Any]:
        """Redeem something at the token endpoint."""
        address = f"{self.issuer}/protocol/openid-connect/token"
        return self._http.post(address, data={"client_id": client, **asked}).json()


def _distribution(features: str) -> Path:
    """Return a Keycloak that is built for these features; its database is beside it."""
    directory = gateway_lab.maven_archive("keycloak", HERE / "pom.xml", _prepare)
    return directory / features


def _prepare(directory: Path) -> None:
    """Build Keycloak for each list of features, and a database in which nobody is yet."""
    [unpacked] = directory.glob("keycloak-*")
    for features, options in FEATURES.items():
        # What a build does not write takes no space twice.
        shutil.copytree(unpacked, directory / features, copy_function=os.link)
        shutil.rmtree(directory / features / "lib/quarkus", ignore_errors=True)
        shutil.copytree(unpacked / "lib/quarkus", directory / features / "lib/quarkus")
        command = ["bash", directory / features / "bin/kc.sh", "build", "--db=dev-file", *options]
        done = subprocess.run(
            command, env={**os.environ, **JAVA}, capture_output=True, text=True, timeout=900
        )
        if done.returncode:
            raise gateway_lab.LabError(f"kc.sh build {options}: {done.stdout[-800:]}")
    company = identity_provider.company(directory, "127.0.0.1")
    with _running(directory / "delivered", directory, directory / "database", company):
        pass  # it makes the tables, which takes longer than all else


@contextlib.contextmanager
def _running(
    distribution: Path, folder: Path, database: Path, company: identity_provider.Company
) -> Iterator[Keycloak]:
    port = gateway_lab.free_port()
    url = f"https://127.0.0.1:{port}"
    database.mkdir(exist_ok=True)
    options = {
        "http-host": "127.0.0.1",
        "https-port": port,
        "https-certificate-file": company.certificate,
        "https-certificate-key-file": company.key,
        "hostname": url,
        "cache": "local",
        "db-url": f"jdbc:h2:file:{database}/keycloak;NON_KEYWORDS=VALUE",
    }
    command = ["bash", distribution / "bin/kc.sh", "start", "--optimized"]
    command += [f"--{name}={value}" for name, value in options.items()]
    administrator = {
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMINISTRATOR,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
    }
    program = gateway_lab.Program(command, folder / "keycloak.log", {**JAVA, **administrator})
    try:
        made = Keycloak(url, company.ca)
        program.wait_until(made.is_ready, f"{url}/realms/master to answer 200", START_SECONDS)
        yield made
    finally:
        program.stop()


@contextlib.contextmanager
def keycloak(
    folder: Path, resource: str, callback: str, features: str = "delivered"
) -> Iterator[Keycloak]:
    """Run Keycloak with the realm for as long as the context lasts."""
    distribution = _distribution(features)
    shutil.copytree(distribution.parent / "database", folder / "database")
    company = identity_provider.company(folder, "127.0.0.1")
    with _running(distribution, folder, folder / "database", company) as made:
        made.import_realm(resource, callback)
        yield made


def pass_pages(browser: httpx2.Client, address: str, name: str, password: str = PASSWORD) -> str:
    """Sign in at Keycloak's pages as a browser would; return where it sends one back.

    Its pages ask for name and password, and whether a client that registered itself may go on.
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
        form = _FORM.search(response.text)
        if response.is_error or form is None:
            raise AssertionError(f"{response.url}: {response.status_code} {_said(response.text)}")
        fields = {n: html.unescape(v) for n, v in _HIDDEN.findall(response.text)}
        if 'name="password"' in response.text:
            fields |= {"username": name, "password": password}
        else:
            fields |= {"accept": "Yes"}
        action = urljoin(str(response.url), html.unescape(form[1]))
        response = browser.post(action, data=fields)
    raise AssertionError(f"still at the provider after 12 steps: {response.url}")


def _said(page: str) -> str:
    """The text of a page, for a message."""
    body = re.sub(r"(?s)<(script|style|head)\b.*?</\1>", " ", page)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())[:500]
