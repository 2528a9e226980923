"""Certificates of a door."""

from __future__ import annotations

import logging
import os
import ssl
import time
from typing import TYPE_CHECKING, Final

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from m2serve.door import Tls

log = logging.getLogger("m2serve.door")

_LOOK: Final = 1.0
"""Seconds between two looks whether the files have changed."""


def context(tls: Tls) -> ssl.SSLContext:
    """What connections are made with: TLS 1.2 or later, HTTP/1.1.

    Raises: ConfigError: a file cannot be read, or is none of what it should be.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    made.set_alpn_protocols(["http/1.1"])
    named = tls.certificate
    try:
        # Whoever has a pass phrase is asked for it by nobody: without this OpenSSL would, at the terminal.
        made.load_cert_chain(tls.certificate, tls.key, password="")
        if tls.ciphers:
            named = "ciphers"
            made.set_ciphers(tls.ciphers)
        if tls.client_ca:
            named = tls.client_ca
            made.load_verify_locations(tls.client_ca)
            made.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise ConfigError(f"{named}: expected a certificate and its key in PEM format: {why}") from None
    return made


class Certificates:
    """The context of a door, made anew when its files have changed: a certificate is renewed without a reload.

    Threads: the leader's.

    Raises: ConfigError: as :func:`context`.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._stamp = self._stamps()
        self._context = context(tls)
        self._look_at = time.monotonic() + _LOOK

    def current(self) -> ssl.SSLContext:
        """For a connection that has just come."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK
            stamp = self._stamps()
            if stamp != self._stamp:
                self._renew(stamp)
        return self._context

    def _renew(self, stamp: tuple[int, ...]) -> None:
        try:
            self._context = context(self._tls)
        except ConfigError as error:
            # one file of two may have been replaced so far
            log.warning("tls: the old certificate stays: %s", error)
        else:
            self._stamp = stamp
            log.info("tls: new certificate from %s", self._tls.certificate)

    def _stamps(self) -> tuple[int, ...]:
        found = []
        for path in (self._tls.certificate, self._tls.key, self._tls.client_ca):
            try:
                found.append(os.stat(path).st_mtime_ns if path else 0)
            except OSError:
                found.append(-1)
        return tuple(found)
