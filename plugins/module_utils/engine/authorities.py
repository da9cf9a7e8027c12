# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Certificate authorities: the site's own, the public ones, and how programs are told of both."""

from __future__ import annotations

import base64
import glob
import hashlib
import os
import re
import ssl
import struct

from ansible_collections.intranet.mcp.plugins.module_utils.common import x509
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError

PUBLIC_CERTIFICATES = "/usr/share/ca-certificates"
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
# Where RHEL and SUSE keep what an administrator added; their bundles cannot be told apart.
ANCHORS = (
    "/etc/pki/ca-trust/source/anchors/*",
    "/etc/pki/trust/anchors/*",
    "/usr/local/share/ca-certificates/**/*.crt",
)
BUNDLE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

# OpenSSL's other two labels are valid for what an administrator added, too.
_CERTIFICATE = re.compile(
    r"-----BEGIN (|X509 |TRUSTED )CERTIFICATE-----(.+?)-----END \1CERTIFICATE-----", re.S
)

# Where containers see the trust store, and the files in it.
INSIDE = "/trust"
BUNDLE = "ca.pem"
SITE = "site.pem"
JAVA = "ca.jks"
# What tells programs of it. Each of these replaces what the program brings along, so it is given
# the public authorities, too; Node.js adds to its own.
ENVIRONMENT = {
    "SSL_CERT_FILE": f"{INSIDE}/{BUNDLE}",  # OpenSSL, and with it Python, Ruby, PHP; Go, Rust, .NET
    "REQUESTS_CA_BUNDLE": f"{INSIDE}/{BUNDLE}",  # requests (Python), which has its own otherwise
    "CURL_CA_BUNDLE": f"{INSIDE}/{BUNDLE}",
    "GIT_SSL_CAINFO": f"{INSIDE}/{BUNDLE}",
    "PIP_CERT": f"{INSIDE}/{BUNDLE}",
    "NODE_EXTRA_CA_CERTS": f"{INSIDE}/{SITE}",
    "JAVA_TOOL_OPTIONS": f"-Djavax.net.ssl.trustStore={INSIDE}/{JAVA}",
}


class AuthorityError(ServiceError):
    """Authorities that cannot be used."""

    reason = "authorities"


def certificates(text: str) -> list[str]:
    """Return the certificates of a text, each once and in one spelling."""
    bodies = dict.fromkeys(_body(*found) for found in _CERTIFICATE.findall(text))
    return [_pem(body) for body in bodies if body]


def beyond(bundle: str, known: str) -> list[str]:
    """Return the certificates of a bundle that are not among the known (public) ones."""
    public = set(certificates(known))
    return [pem for pem in certificates(bundle) if pem not in public]


def site_certificates(ca_bundle: str, environment: dict | None = None) -> list[str]:
    """Return the certificates of this site's own authorities.

    A bundle given is taken; otherwise it is what this host trusts beyond the public ones, and what
    the environment of this process names.
    """
    public = texts([f"{PUBLIC_CERTIFICATES}/**/*.crt"])
    if ca_bundle:
        return beyond(_given(ca_bundle), public)
    named = [path for key in BUNDLE_VARIABLES if (path := (environment or {}).get(key))]
    bundles = [SYSTEM_BUNDLES[0]] if public else []
    known = _real(SYSTEM_BUNDLES)
    bundles += [glob.escape(path) for path in named if os.path.realpath(path) not in known]
    return beyond(texts([*ANCHORS, *bundles]), public)


def trust_store(ca_bundle: str) -> dict[str, bytes]:
    """Return the files of a trust store for containers; empty where the site has no authority."""
    site = site_certificates(ca_bundle)
    if not site:
        return {}
    _require_valid(site, ca_bundle)
    bundle = certificates("\n".join([*site, texts([_system_bundle()])]))
    return {
        BUNDLE: "".join(bundle).encode(),
        SITE: "".join(site).encode(),
        JAVA: java_key_store(bundle),
    }


def _given(ca_bundle: str) -> str:
    if not os.path.isfile(ca_bundle):
        raise AuthorityError(
            f"{ca_bundle} is not there",
            "a file on this host with the site's certificate authorities (PEM)",
            "put it there or correct platform_ca_bundle",
        )
    text = _text(ca_bundle)
    if not certificates(text):
        raise AuthorityError(
            f"{ca_bundle} has no certificate",
            "blocks of -----BEGIN CERTIFICATE-----, or DER",
            "correct the file or platform_ca_bundle",
        )
    return text


def digest_of(store: dict[str, bytes]) -> str:
    """Return what tells one site's authorities from others. The public ones come and go."""
    return hashlib.sha256(store[SITE]).hexdigest()[:16] if store else ""


def java_key_store(bundle: list[str]) -> bytes:
    """Return certificates as Java's own key store (JKS), which it reads without a password."""
    entries = b"".join(_java_entry(number, pem) for number, pem in enumerate(bundle))
    content = struct.pack(">III", 0xFEEDFEED, 2, len(bundle)) + entries
    # This sum is not checked by who opens it without a password.
    key = "changeit".encode("utf-16-be") + b"Mighty Aphrodite"
    return content + hashlib.sha1(key + content, usedforsecurity=False).digest()


def _java_entry(number: int, pem: str) -> bytes:
    der = ssl.PEM_cert_to_DER_cert(pem)
    trusted, made_at = 2, 0  # the same store from the same certificates
    head = struct.pack(">I", trusted) + _java_text(f"ca{number}") + struct.pack(">Q", made_at)
    return head + _java_text("X.509") + struct.pack(">I", len(der)) + der


def _java_text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode("ascii")


def _require_valid(site: list[str], ca_bundle: str) -> None:
    """Raise unless OpenSSL reads each certificate: one that it does not spoils the whole file."""
    for number, pem in enumerate(site, start=1):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
        except (ssl.SSLError, ValueError) as error:
            place = ca_bundle or "what this host trusts beyond the public authorities"
            raise AuthorityError(
                f"certificate {number} of {place} cannot be read ({error})",
                "certificates in PEM",
                "correct or remove it",
            ) from error


def _body(label: str, body: str) -> str:
    """Return the base64 of a certificate alone, empty where it is not trusted for TLS servers."""
    body = "".join(body.split())
    if label != "TRUSTED ":
        return body
    try:
        return base64.b64encode(x509.trusted_certificate(base64.b64decode(body))).decode()
    except (x509.CertificateError, ValueError):
        return body  # whoever uses it is told that it cannot be read


def _pem(body: str) -> str:
    try:
        return ssl.DER_cert_to_PEM_cert(base64.b64decode(body, validate=True))
    except ValueError:
        return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def _system_bundle() -> str:
    return next((path for path in SYSTEM_BUNDLES if os.path.isfile(path)), SYSTEM_BUNDLES[0])


def _real(paths) -> set[str]:
    return {os.path.realpath(path) for path in paths}


def texts(patterns: list[str]) -> str:
    """Return the content of every file that matches."""
    return "\n".join(
        _text(path)
        for pattern in patterns
        for path in sorted(glob.glob(pattern, recursive=True))
        if os.path.isfile(path)
    )


def _text(path: str) -> str:
    """Return the content of a file; certificates in DER as PEM."""
    with open(path, "rb") as stream:
        content = stream.read()
    try:
        x509.not_after(content)
    except x509.CertificateError:
        return content.decode(errors="replace")
    return ssl.DER_cert_to_PEM_cert(content)
