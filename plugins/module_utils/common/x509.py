# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a certificate says of its dates, signer and names, read with the standard library. Pure.

Python tells a peer's dates only after it has verified the peer, which an expired certificate or a
company's own authority prevents.
"""

from __future__ import annotations

import base64
import calendar
import re
import time

_SEQUENCE, _CONTEXT_0, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_SERVER = bytes.fromhex("06082b06010505070301")  # serverAuth
_ANY_PURPOSE = bytes.fromhex("0604551d2500")
_ALTERNATIVE_NAMES, _NAME_CONSTRAINTS = bytes.fromhex("0603551d11"), bytes.fromhex("0603551d1e")
_CONTEXT_3, _IP_ADDRESS = 0xA3, 0x87
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


class CertificateError(Exception):
    """This is no certificate; the message says why."""


def not_after_of_pem(text: str) -> int:
    """When the first to expire of the certificates in the text expires, in Unix seconds."""
    return min(not_after(der) for der in of_pem(text))


def of_pem(text: str) -> list[bytes]:
    """The certificates in the text, as DER; at least one."""
    blocks = _PEM.findall(text)
    if not blocks:
        raise CertificateError("holds no PEM certificate")
    return [base64.b64decode(block) for block in blocks]


def not_after(der: bytes) -> int:
    """When the certificate expires, in Unix seconds."""
    try:
        validity = _fields(der)[4]
        if validity[0] != _SEQUENCE:
            raise CertificateError("has no validity where X.509 has it")
        kind, _whole, text = _children(validity[1])[1]
        return _seconds(kind, text.decode("ascii"))
    except (IndexError, ValueError) as error:
        raise CertificateError(f"is no certificate ({error})") from error


def is_signed_by(der: bytes, authority: bytes) -> bool:
    """Whether the certificate names the other one's subject as its issuer."""
    return _read(lambda: _fields(der)[3][1] == _fields(authority)[5][1])


def names_addresses(der: bytes) -> bool:
    """Whether the certificate is for IP addresses, too (subjectAltName)."""
    found = _read(lambda: _extension(der, _ALTERNATIVE_NAMES))
    return any(tag == _IP_ADDRESS for tag, _whole, _content in found)


def limits_addresses(der: bytes) -> bool:
    """Whether an authority may certify some IP addresses only (RFC 5280, 4.2.1.10)."""
    permitted_and_not = _read(lambda: _extension(der, _NAME_CONSTRAINTS))
    return any(
        _children(whole)[0][0] == _IP_ADDRESS
        for _tag, trees, _content in permitted_and_not
        for _sequence, whole, _base in _children(trees)
    )


def _read(part):
    try:
        return part()
    except (IndexError, ValueError) as error:
        raise CertificateError(f"is no certificate ({error})") from error


def _fields(der: bytes) -> list[tuple[int, bytes, bytes]]:
    """Of a TBSCertificate: version, serial, signature, issuer, validity, subject, key, and more."""
    fields = _children(_children(der)[0][1])
    return fields if fields[0][0] == _CONTEXT_0 else [(0, b"", b""), *fields]


def _extension(der: bytes, oid: bytes) -> list[tuple[int, bytes, bytes]]:
    """The elements of an extension's value, which is one SEQUENCE; none where it is not there."""
    held = next((whole for tag, whole, _content in _fields(der)[7:] if tag == _CONTEXT_3), None)
    for _tag, extension, _content in _children(_children(held)[0][1]) if held else ():
        parts = _children(extension)  # its name, whether it is critical, its value
        if parts[0][1] == oid:
            return _children(parts[-1][2])
    return []


def trusted_certificate(der: bytes) -> bytes:
    """The certificate in OpenSSL's TRUSTED CERTIFICATE, empty if it is not for TLS servers.

    What it is trusted and rejected for follows the certificate itself (X509_CERT_AUX).
    """
    try:
        end = _element(der, 0)[1]
        settings = _children(der[end:]) if der[end:] else []
    except (IndexError, ValueError) as error:
        raise CertificateError(f"is no certificate ({error})") from error
    purposes = {tag: content for tag, _whole, content in settings}
    is_rejected = _SERVER in purposes.get(_CONTEXT_0, b"")
    trusted = purposes.get(_SEQUENCE)
    is_trusted = trusted is None or _SERVER in trusted or _ANY_PURPOSE in trusted
    return der[:end] if is_trusted and not is_rejected else b""


def _children(der: bytes) -> list[tuple[int, bytes, bytes]]:
    """Elements inside a constructed one: tag, the element itself, its content."""
    _tag, _end, content = _element(der, 0)
    found, at = [], 0
    while at < len(content):
        tag, end, inner = _element(content, at)
        found.append((tag, content[at:end], inner))
        at = end
    return found


def _element(der: bytes, at: int) -> tuple[int, int, bytes]:
    tag, size, start = der[at], der[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(der[start : start + count], "big")
        start += count
    if start + size > len(der):
        raise ValueError("cut off")
    return tag, start + size, der[start : start + size]


def _seconds(kind: int, text: str) -> int:
    if kind == _UTC_TIME:  # two digits: 50 to 99 are of the last century (RFC 5280)
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif kind != _GENERALIZED_TIME:
        raise ValueError("its validity is no time")
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))
