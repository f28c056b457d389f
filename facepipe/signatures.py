"""Checking that a webhook comes from the server whose secret one knows, and comes now."""

import hashlib
import hmac
import time

from facepipe.errors import SignatureError


def verify_signature(secret: str, header: str, body: bytes, tolerance_s: float = 300) -> None:
    """Check the `Facepipe-Signature` of a webhook; do so before the body is parsed.

    Args:
        secret: as `facepipe webhooks secret` shows it on the server.
        header: value of `Facepipe-Signature`: `t=<Unix seconds>,v1=<hex>`; of several `v1` one must fit.
        body: the bytes as they came.
        tolerance_s: by how much the signature's time may differ from this machine's clock.

    Raises:
        SignatureError: the header is malformed, the signature is another one, or it is too old or from the future.
    """
    parts = [tuple(part.strip().partition("=")[::2]) for part in header.split(",")]
    times = [value for name, value in parts if name == "t"]
    signatures = [value for name, value in parts if name == "v1"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) <= 12) or not signatures:
        raise SignatureError("signature", "The Facepipe-Signature is not `t=<seconds>,v1=<hex>`.")
    expected = hmac.new(secret.encode(), f"{times[0]}.".encode() + body, hashlib.sha256).hexdigest().encode()
    if not any(hmac.compare_digest(expected, signature.encode()) for signature in signatures):
        raise SignatureError("signature", "The Facepipe-Signature does not fit: another secret, or a changed body.")
    if abs(time.time() - int(times[0])) > tolerance_s:
        raise SignatureError("signature", f"The Facepipe-Signature is more than {tolerance_s:g} s off this clock.")
