# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Until when a certificate is valid, read from its bytes.

Python shows a certificate's fields only after it was found trustworthy, and this must also be known
of one that just expired.
"""

from __future__ import annotations

from datetime import datetime, timezone

_SEQUENCE, _UTC_TIME, _VERSION = 0x30, 0x17, 0xA0


def not_after(der: bytes) -> datetime:
    """Return the end of a certificate's validity; ValueError when it is none."""
    try:
        certificate = _parts(der)[0][1]
        fields = _parts(_parts(certificate)[0][1])
        if fields[0][0] == _VERSION:
            fields = fields[1:]
        kind, text = _parts(fields[3][1])[1]  # serial, signature, issuer, validity
    except IndexError as error:
        raise ValueError("not a certificate") from error
    form = "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=timezone.utc)  # noqa: UP017


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    """Return the (tag, content) pairs that stand one after another."""
    found = []
    while data:
        tag, length, start = data[0], data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        if start + length > len(data):
            raise ValueError("a certificate that is cut off")
        found.append((tag, data[start : start + length]))
        data = data[start + length :]
    return found
