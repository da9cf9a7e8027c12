# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Asks container registries what they hold, as the engine would: logins, authorities, tokens."""

from __future__ import annotations

import base64
import contextlib
import glob
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import urllib.error
import urllib.parse
from dataclasses import replace

from ansible.module_utils.urls import Request
from ansible_collections.intranet.mcp.plugins.module_utils.images import registry_login
from ansible_collections.intranet.mcp.plugins.module_utils.images.sources import (
    DOCKER_HUB,
    Place,
    parse,
)

MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)
HUB_HOST = "registry-1.docker.io"
CERTIFICATES = "/etc/docker/certs.d"
DAEMON_JSON = "/etc/docker/daemon.json"
REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 10
# What credential helpers call the user of an identity token.
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
LOGINS = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "registry": {"type": "str", "required": True},
        "username": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
    },
}


class RegistryError(Exception):
    """A registry that does not give an image; the message is the reason."""


class NotFound(RegistryError):
    """A registry that lacks an image."""


class Registries:
    """Every registry, by the settings of the site and of this host.

    logins: {registry, username, password}. authorities: registry -> PEM text. insecure: registries
    and networks that may be asked without verified TLS, and hub_mirrors: addresses of mirrors of
    Docker Hub, both beside those of the engine.
    """

    def __init__(
        self, logins=(), authorities=None, insecure=(), timeout: float = 10, hub_mirrors=()
    ) -> None:
        self.logins = {login["registry"]: login for login in logins}
        self._own = registry_login.OwnLogins(timeout)
        self.authorities = authorities or {}
        self.insecure = {*insecure, *_of_engine("insecure-registries")}
        self.timeout = timeout
        mirrors = [
            urllib.parse.urlsplit(address)
            for address in (*hub_mirrors, *_of_engine("registry-mirrors"))
        ]
        self.hub_mirrors = list(dict.fromkeys(url.netloc for url in mirrors if url.netloc))
        self.insecure |= {url.netloc for url in mirrors if url.scheme == "http"}

    def __repr__(self) -> str:
        return f"Registries(logins for {sorted(self.logins)})"

    def failure(self, reference: str) -> str:
        """Return why a registry does not give an image, or nothing."""
        place = parse(reference)
        try:
            self.digest(place)
        except NotFound as reason:
            return f"{place} {reason}"
        except RegistryError as reason:
            return f"{place.registry} {reason}"
        return ""

    def digest(self, place: Place) -> str:
        """Return the digest of what is there. Raises RegistryError with the reason.

        Like the engine, mirrors of Docker Hub are asked first, and their failures are no reason.
        """
        for mirror in self.hub_mirrors if place.registry == DOCKER_HUB else ():
            with contextlib.suppress(RegistryError):
                return self._digest(replace(place, registry=mirror))
        return self._digest(place)

    def _digest(self, place: Place) -> str:
        reference = place.digest or place.tag
        path = f"/v2/{place.path}/manifests/{reference}"
        reply = self._ask(place.registry, path)
        if reply.status == 404:
            raise self._not_found(place)
        if reply.status in (401, 403):
            if self._login(place.registry).get("username") == registry_login.TOKEN_USER:
                return ""  # a token that the engine changes for another one
            raise RegistryError(self._refused(place.registry))
        if reply.status != 200:
            raise RegistryError(f"answers {reply.status}")
        return reply.headers.get("Docker-Content-Digest", "")

    def _not_found(self, place: Place) -> NotFound:
        if not (place.digest and place.tag):
            return NotFound("is not there")
        try:
            found = self._digest(replace(place, digest=""))
        except RegistryError:
            return NotFound("is not there")
        return NotFound(
            f"is not there: {place.tag} is {found}, expected {place.digest}: copy the image with "
            "its digest (a pull and push changes it), or correct digest in image_extra"
        )

    def _login(self, registry: str) -> dict:
        """Return the login at a registry, the site's before this user's own; empty without one."""
        return self.logins.get(registry) or self._own.at(registry)

    def _refused(self, registry: str) -> str:
        login = self._login(registry)
        if "username" in login:
            place = f" (from {login['source']})" if "source" in login else ""
            return (
                f"refuses {login['username']}{place}: correct docker_registry_logins, or let this "
                "user read it"
            )
        if "problem" in login:
            return (
                f"asks for a login, and {login['problem']}: set docker_registry_logins, or fix "
                "what ~/.docker/config.json of the user who deploys names"
            )
        return "asks for a login, and docker_registry_logins has none for it"

    def _ask(self, registry: str, path: str):
        """Return the reply of the first address of a registry that answers."""
        host = HUB_HOST if registry == DOCKER_HUB else registry
        first = None
        for scheme, is_verified in self._schemes(registry):
            context = self._context(registry, is_verified)
            try:
                return self._authorized(registry, f"{scheme}://{host}{path}", context)
            except (OSError, http.client.HTTPException, ValueError) as error:
                first = first or error
        raise RegistryError(_reason(first)) from first

    def _schemes(self, registry: str) -> list[tuple[str, bool]]:
        secure = [("https", True)]
        if self._is_insecure(registry):
            return [*secure, ("https", False), ("http", False)]
        return secure

    def _is_insecure(self, registry: str) -> bool:
        if _is_loopback(registry) or registry in self.insecure:
            return True
        networks = [entry for entry in self.insecure if "/" in entry]
        return any(in_networks(address, networks) for address in _addresses(registry, networks))

    def _context(self, registry: str, is_verified: bool) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not is_verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.authorities.get(registry):
            if problem := authority_problem(self.authorities[registry]):
                raise RegistryError(
                    f"has an authority in docker_registry_ca that cannot be used ({problem}): name "
                    "a PEM file there"
                )
            context.load_verify_locations(cadata=self.authorities[registry])
        for path in glob.glob(os.path.join(CERTIFICATES, glob.escape(registry), "*.crt")):
            with contextlib.suppress(OSError):
                context.load_verify_locations(cafile=path)
        return context

    def _authorized(self, registry: str, url: str, context):
        reply = self._send("HEAD", url, {"Accept": MANIFESTS}, context)
        challenge = reply.headers.get("WWW-Authenticate", "")
        # Another host, where a redirect led, must not say where the login goes.
        is_own = _origin(reply.geturl()) == _origin(url)
        if reply.status != 401 or not challenge or not is_own:
            return reply
        kind = challenge.split()[0].lower()
        authorization = self._basic(registry)
        if kind == "bearer":
            asked = dict(_CHALLENGE.findall(challenge))
            token = self._token(registry, asked, authorization, context)
            authorization = f"Bearer {token}" if token else ""
        if not authorization:
            return reply
        headers = {"Accept": MANIFESTS, "Authorization": authorization}
        return self._send("HEAD", url, headers, context)

    def _basic(self, registry: str) -> str:
        login = self._login(registry)
        if login.get("username", registry_login.TOKEN_USER) == registry_login.TOKEN_USER:
            return ""
        pair = f"{login['username']}:{login['password']}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def _token(self, registry: str, challenge: dict, authorization: str, context) -> str:
        realm = challenge.pop("realm", "")
        if authorization and not realm.startswith("https:") and not self._is_insecure(registry):
            raise RegistryError(
                f"wants its login sent to {realm!r}, without TLS: have its realm be https, or name "
                "the registry in docker_insecure_registries"
            )
        url = f"{realm}?{urllib.parse.urlencode(challenge)}"
        headers = {"Authorization": authorization} if authorization else {}
        reply = self._send("GET", url, headers, context)
        try:
            answer = json.loads(reply.read()) if reply.status == 200 else {}
        except ValueError:
            return ""
        if not isinstance(answer, dict):
            return ""
        return answer.get("token") or answer.get("access_token") or ""

    def _send(self, method: str, url: str, headers: dict, context):
        """Return the reply at the end of redirects; a login goes to no other place than this one.

        Request's own redirects would send it along, and make a GET of a HEAD.
        """
        for _hop in range(MAX_REDIRECTS):
            reply = self._reply(method, url, headers, context)
            target = reply.headers.get("Location") if reply.status in REDIRECTS else None
            if not target:
                return reply
            target = urllib.parse.urljoin(url, target)
            if _origin(target) != _origin(url):
                headers = {key: value for key, value in headers.items() if key != "Authorization"}
            url = target
        raise RegistryError(f"redirects more than {MAX_REDIRECTS} times: correct its address")

    def _reply(self, method: str, url: str, headers: dict, context):
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise RegistryError(f"redirects to {url!r}: expected an http or https address")
        request = Request(
            context=context, use_netrc=False, timeout=self.timeout, http_agent="intranet.mcp"
        )
        try:
            return request.open(method, url, headers=headers, follow_redirects="none")
        except urllib.error.HTTPError as error:
            return error


def _origin(url: str) -> tuple:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def authority_problem(text: str) -> str:
    """Say why a text is no certificate in PEM, which is all that the engine reads, or nothing."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError, TypeError) as error:
        return getattr(error, "reason", None) or str(error)
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, (http.client.HTTPException, ValueError)):
        return f"does not speak HTTP ({error!r}): correct its address"
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"has a certificate that this host does not trust ({reason.verify_message}): name its "
            "authority in docker_registry_ca"
        )
    return f"does not answer ({reason})"


def _is_loopback(registry: str) -> bool:
    """The engine, too, asks these without TLS."""
    return registry.split(":")[0] == "localhost" or registry.startswith("127.")


def _addresses(registry: str, networks: list[str]) -> list[str]:
    """Return the addresses of a registry, where networks could hold them."""
    if not networks:
        return []
    try:
        host = urllib.parse.urlsplit(f"//{registry}").hostname
        return [found[4][0] for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, ValueError):
        return []


def in_networks(address: str, entries) -> bool:
    """Tell whether an address is in one of the networks (CIDR) among entries of any kind."""
    for entry in entries:
        with contextlib.suppress(ValueError):  # a name
            if ipaddress.ip_address(address) in ipaddress.ip_network(entry, strict=False):
                return True
    return False


def _of_engine(key: str) -> list[str]:
    try:
        with open(DAEMON_JSON, encoding="utf-8") as stream:
            found = json.load(stream).get(key)
    except (OSError, ValueError, AttributeError):
        return []
    return [entry for entry in found if isinstance(entry, str)] if isinstance(found, list) else []
