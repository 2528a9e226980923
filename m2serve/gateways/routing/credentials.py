"""Who may come in by HTTP's Basic authentication (RFC 7617): one user, or those of a file as ``htpasswd`` writes it."""

from __future__ import annotations

import base64
import binascii
import ctypes
import hashlib
import hmac
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("m2serve.route")

_LIBRARIES: Final = ("libcrypt.so.1", "libcrypt.so.2")
_LARGEST: Final = 16 * 1024 * 1024


class Users:
    """Knows the passwords.

    Threads: any. A file is read each time it is asked, as uWSGI does it: what changes there counts at once.

    Args:
        spec: ``USER:PASSWORD``, or a file.
        base: where relative paths start.
    """

    def __init__(self, spec: str, base: str) -> None:
        self._only = spec.encode("utf-8", "surrogateescape") if ":" in spec else None
        self._file = os.path.join(base, os.path.expanduser(spec))
        self._crypt = _crypt() if self._only is None else None

    def who(self, authorization: str) -> str | None:
        """The user that a header ``Authorization`` proves; None: it proves nothing."""
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            given = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            return None
        name, colon, password = given.partition(b":")
        if not name or not colon:
            return None
        known = hmac.compare_digest(given, self._only) if self._only is not None else self._in_file(name, password)
        return name.decode("latin-1") if known else None

    def _in_file(self, name: bytes, password: bytes) -> bool:
        try:
            with open(self._file, "rb") as file:
                lines = file.read(_LARGEST).splitlines()
        except OSError as error:
            log.error("basicauth: %s cannot be read, nobody comes in: %s", self._file, error.strerror)
            return False
        for line in lines:
            user, colon, secret = line.strip().partition(b":")
            if colon and user == name:
                return self._matches(password, secret.split(b":")[0])
        return False

    def _matches(self, password: bytes, secret: bytes) -> bool:
        if secret.startswith(b"{SHA}"):
            digest = base64.b64encode(hashlib.sha1(password, usedforsecurity=False).digest())
            return hmac.compare_digest(digest, secret[len(b"{SHA}") :])
        made = self._crypt(password, secret) if self._crypt is not None else None
        return made is not None and hmac.compare_digest(made, secret)


def _crypt() -> Callable[[bytes, bytes], bytes | None] | None:
    """The C library's crypt(3); None: this machine has none."""
    function = next(filter(None, map(_function, _LIBRARIES)), None)
    if function is None:
        log.warning("basicauth: this machine has no libcrypt; only {SHA} passwords are known")
        return None
    function.restype, function.argtypes = ctypes.c_char_p, (ctypes.c_char_p, ctypes.c_char_p)
    lock = threading.Lock()

    def crypt(password: bytes, setting: bytes) -> bytes | None:
        with lock:  # its result lies in a place that all threads share
            made: bytes | None = function(password, setting)
        # "*0" and "*1" say that the setting is none.
        return made if made and not made.startswith(b"*") else None

    return crypt


def _function(library: str) -> Any:
    try:
        return ctypes.CDLL(library).crypt
    except (OSError, AttributeError):
        return None
