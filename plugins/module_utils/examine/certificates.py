# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Until when certificates are valid: those that servers show, and files on this host."""

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
    """Return the certificate that a server shows, whoever signed it: only its dates are read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        parts = urlsplit(url)
        place = (parts.hostname or "", parts.port or 443)
        with (
            socket.create_connection(place, timeout) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
        ):
            return Certificate(url, x509.not_after(secure.getpeercert(binary_form=True)))
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


def _days(count: float) -> str:
    whole = int(count)  # rounded up, it would seem to be enough
    return "less than a day" if not whole else f"{whole} day{'' if whole == 1 else 's'}"
