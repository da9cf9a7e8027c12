"""Whether the provider's clock and keys allow its tokens to be believed. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from cryptography import x509

from mcp_portal.problem import Problem

SIGNING_TYPES = ("RSA", "EC", "OKP")


def judge_clock(headers: Mapping[str, str], now: float, leeway: float) -> None:
    """Raise a Problem where the provider's clock differs by more than is allowed."""
    if "age" in headers:
        return  # a cache answered, when nobody knows
    try:
        theirs = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return
    if abs(theirs - now) > leeway:
        raise Problem("clocks_differ", 502)


def judge_keys(keys: list[dict[str, Any]], now: float) -> None:
    """Raise a Problem where no key is published that signs tokens and has not expired."""
    signing = [k for k in keys if k.get("kty") in SIGNING_TYPES and k.get("use", "sig") == "sig"]
    if not signing:
        raise Problem("no_signing_key", 502)
    if all(_ends_at(key) < now for key in signing):
        raise Problem("signing_keys_expired", 502)


def _ends_at(key: dict[str, Any]) -> float:
    """When a key expires, by itself or by its certificate; most never do."""
    ends = [float(key["exp"])] if isinstance(key.get("exp"), int | float) else []
    for encoded in key.get("x5c", [])[:1]:
        try:
            certificate = x509.load_der_x509_certificate(base64.b64decode(encoded))
        except (ValueError, binascii.Error):
            continue
        ends.append(certificate.not_valid_after_utc.timestamp())
    return min(ends, default=float("inf"))
