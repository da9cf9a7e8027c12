# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.x509 import (
    CertificateError,
    not_after,
    not_after_of_pem,
)

# Dates before 2050 are written with two digits of the year, later ones with four. Self-signed with
# `openssl req -x509`; Dec 24 22:23:35 2026 GMT and Aug 27 22:23:35 2081 GMT.
NEAR = """\
-----BEGIN CERTIFICATE-----
MIIBkzCCATmgAwIBAgIUdaEA8RjlsCV65VenUw87HwpnwGAwCgYIKoZIzj0EAwIw
HzEdMBsGA1UEAwwUdXRjLmV4YW1wbGUuaW50ZXJuYWwwHhcNMjYxMTI0MjIyMzM1
WhcNMjYxMjI0MjIyMzM1WjAfMR0wGwYDVQQDDBR1dGMuZXhhbXBsZS5pbnRlcm5h
bDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKGHP+bubeb3SeMgXnoQH7YQHn6X
LAu85WCI+TaeDn9IKdKJ1wH+ydEiD2Z/1erlIpy+S/NwLroZduoE67Mc0jKjUzBR
MB0GA1UdDgQWBBT5Bh4lx03w9XIpjF4za1Pk72hrzDAfBgNVHSMEGDAWgBT5Bh4l
x03w9XIpjF4za1Pk72hrzDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gA
MEUCICINdx2k1I+eXu5MioYCMVJdbD9QOSYygDvdHmWOqZWHAiEA/wRfEJj7/Q31
a29a08Ej0cFUhOWQZmVVfQoBAUBVOgs=
-----END CERTIFICATE-----
"""
FAR = """\
-----BEGIN CERTIFICATE-----
MIIBlDCCATugAwIBAgIUKPjghZPWnezicQA6A0sAZ/yIy4cwCgYIKoZIzj0EAwIw
HzEdMBsGA1UEAwwUZmFyLmV4YW1wbGUuaW50ZXJuYWwwIBcNMjYxMTI0MjIyMzM1
WhgPMjA4MTA4MjcyMjIzMzVaMB8xHTAbBgNVBAMMFGZhci5leGFtcGxlLmludGVy
bmFsMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExzkNYJ+v13E8tVFeWJPtlUfY
NUXCqqBCqzFdGnk5WY3ZmTES2ShdAN8dOB/TteZTALFRCQXSEdEL9tz7QCkv6KNT
MFEwHQYDVR0OBBYEFInY0eVAt5HuOPcNbHkWIksHxtAJMB8GA1UdIwQYMBaAFInY
0eVAt5HuOPcNbHkWIksHxtAJMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwID
RwAwRAIgDh5UMgKwRJoJ33PfJvw+ZCt9dnQxvwPRHQQQ/aOONH0CIEep+tO+JlI6
A386hJqlQguTgz6MwYbkh2X5QTSLhtKH
-----END CERTIFICATE-----
"""
NEAR_ENDS, FAR_ENDS = 1798151015, 3523559015


@pytest.mark.parametrize(("pem", "ends"), [(NEAR, NEAR_ENDS), (FAR, FAR_ENDS)])
def test_the_end_of_a_certificate_is_read(pem, ends):
    assert not_after_of_pem("subject=...\n" + pem) == ends


def test_of_a_chain_the_first_end_counts():
    assert not_after_of_pem(FAR + NEAR) == NEAR_ENDS


@pytest.mark.parametrize("text", ["", "nothing", NEAR.replace("BEGIN CERT", "BEGIN OTHER CERT")])
def test_a_file_without_a_certificate_says_so(text):
    with pytest.raises(CertificateError, match="holds no PEM certificate"):
        not_after_of_pem(text)


@pytest.mark.parametrize("length", [0, 1, 2, 40, 200])
def test_a_certificate_that_is_cut_off_says_so(length):
    body = "".join(NEAR.strip().splitlines()[1:-1])
    with pytest.raises(CertificateError):
        not_after(base64.b64decode(body)[:length])
