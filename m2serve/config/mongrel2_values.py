"""Values of the options that say what is known of a Mongrel2."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from m2serve.endpoint import Endpoint
from m2serve.errors import ConfigError

_KEY = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*")
_SWITCHES = ("upload.stream", "download.flow_control")
_SIZES = ("limits.content_length", "limits.buffer_size")
_MAX_SIZE = 2**31 - 1


class ChrootOption(NamedTuple):
    """Where the ``/`` of one Mongrel2, or of each, lies for us."""

    endpoint: Endpoint | None
    """The ``send_spec`` of its handler; None: of each that is not named."""
    directory: str

    @classmethod
    def parse(cls, text: str) -> ChrootOption:
        """Read ``DIR`` or ``ENDPOINT=DIR``; the first ``=`` ends the endpoint.

        Raises: ConfigError: with what was expected.
        """
        endpoint = None
        directory = text
        if text.startswith(("tcp://", "ipc://")):
            address, separator, directory = text.partition("=")
            if not separator:
                raise ConfigError("expected DIR, or ENDPOINT=DIR as in tcp://127.0.0.1:9997=/srv/mongrel2")
            endpoint = Endpoint.parse(address)
        if not directory or "\0" in directory:
            raise ConfigError("expected a directory")
        return cls(endpoint, directory)

    def resolved(self, directory: str) -> ChrootOption:
        """The same with a socket path and a directory that no longer depend on where we are.

        Raises: ConfigError: the socket path is too long.
        """
        endpoint = None if self.endpoint is None else self.endpoint.resolved(directory)
        return ChrootOption(endpoint, os.path.normpath(os.path.join(directory, self.directory)))

    def __str__(self) -> str:
        return self.directory if self.endpoint is None else f"{self.endpoint}={self.directory}"


class FrontSetting(NamedTuple):
    """One entry of Mongrel2's own ``settings``."""

    key: str
    value: str

    @classmethod
    def parse(cls, text: str) -> FrontSetting:
        """Read ``KEY=VALUE``, both as Mongrel2 has them.

        Raises: ConfigError: with what was expected.
        """
        key, separator, value = (part.strip() for part in text.partition("="))
        if not separator or not value or _KEY.fullmatch(key) is None or "\0" in value:
            raise ConfigError("expected KEY=VALUE as in Mongrel2's settings, for instance limits.content_length=65536")
        if key in _SWITCHES and value not in ("0", "1"):
            raise ConfigError(f"expected 0 or 1 for {key}")
        if key in _SIZES and not (re.fullmatch("[0-9]{1,10}", value) and 0 < int(value) <= _MAX_SIZE):
            raise ConfigError(f"expected a number of bytes for {key}, 1 to {_MAX_SIZE}")
        if key == "upload.temp_store" and not value.endswith("XXXXXX"):
            raise ConfigError(f"expected a path that ends in XXXXXX for {key}, for instance /uploads/up.XXXXXX")
        return cls(key, value)

    def __str__(self) -> str:
        return f"{self.key}={self.value}"
