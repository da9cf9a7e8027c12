# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Certificates that servers show, and files on this host: how long they are valid, for whom."""

from __future__ import annotations

import socket
import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.common import x509
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict

DAY = 86400


class Certificate(NamedTuple):
    """What was read at a place; not_after (Unix seconds) is None where it could not be read."""

    place: str
    not_after: int | None
    error: str = ""
    der: bytes = b""  # of one that a server shows


def read(place: str, timeout: float = 5) -> Certificate:
    """Return the certificate of a place: a PEM file, or an https URL."""
    if place.startswith("https://"):
        return _served(place, timeout)
    try:
        with open(place, encoding="utf-8", errors="replace") as file:
            return Certificate(place, x509.not_after_of_pem(file.read()))
    except (OSError, x509.CertificateError) as error:
        return Certificate(place, None, str(error))


def _served(url: str, timeout: float) -> Certificate:
    """Return the certificate that a server shows, whoever signed it: it is read, not believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        parts = urlsplit(url)
        place = (parts.hostname or "", parts.port or 443)
        with (
            socket.create_connection(place, timeout) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
        ):
            der = secure.getpeercert(binary_form=True) or b""
            return Certificate(url, x509.not_after(der), der=der)
    except (OSError, ValueError) as error:
        return Certificate(url, None, f"no TLS connection ({error})")
    except x509.CertificateError as error:
        return Certificate(url, None, str(error))


def judge(check: str, found: Certificate, now: float, days: int) -> Finding:
    """Return whether it is valid for long enough. Pure."""
    expected = f"valid for {days} days or more"
    if found.not_after is None:
        action = "start what serves it, or correct the address or the path"
        return Finding(check, f"certificate {found.place}: {found.error}", expected, action)
    left = (found.not_after - now) / DAY
    when = f"in {_days(left)}" if left >= 0 else f"{_days(-left)} ago"
    date = time.strftime("%Y-%m-%d", time.gmtime(found.not_after))
    return Finding(
        check,
        f"certificate {found.place} {'expires' if left >= 0 else 'expired'} {when} ({date})",
        expected,
        "renew it where it is served from",
        status=verdict(left >= days),
    )


def refused_by_clis(check: str, found: Certificate, authority: str) -> Finding | None:
    """Return why Claude Code and opencode refuse a certificate that others take; None: they do not.

    BoringSSL, which they are built with, refuses each certificate for an address under an authority
    that limits addresses, whether the address is within the limit or not. Pure.

    authority: PEM of the one that people trust, empty where there is none.
    """
    if not (authority and found.der):
        return None
    (signer, *_others) = x509.of_pem(authority)
    is_refused = (
        x509.is_signed_by(found.der, signer)
        and x509.limits_addresses(signer)
        and x509.names_addresses(found.der)
    )
    if not is_refused:
        return None
    return Finding(
        check,
        f"certificate {found.place} is for IP addresses, which its authority may certify some of",
        "a certificate that Claude Code and opencode accept: they cannot check such a limit, and "
        "refuse every connection (UNSUPPORTED_CONSTRAINT_TYPE)",
        "give the platform a name (platform_public_name), and run site.yml and clients.yml; or "
        "remove tls/ca.crt among the secrets (keep ca.key), run both, and have people's machines "
        "trust the new ca.crt",
    )


def _days(count: float) -> str:
    whole = int(count)  # rounded up, it would seem to be enough
    return "less than a day" if not whole else f"{whole} day{'' if whole == 1 else 's'}"
