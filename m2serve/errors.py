"""The exception tree and the exit codes."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its parent when it leaves.

    ``APP_LOAD`` is uWSGI's code for a failed ``need-app``; users' unit files test for it.
    """

    OK = 0
    CONFIG = 1
    APP_LOAD = 22
    MASTER_LOST = 32
    TAKES_OVER = 33
    """Of a trial before an upgrade: it can go on."""
    INTERNAL = 70


class M2serveError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(M2serveError):
    """A setting cannot be used: says where it stands, what it is and what was expected."""


class AppLoadError(M2serveError):
    """The application cannot be imported or called; ``__cause__`` holds the reason."""


class TransportError(M2serveError):
    """A peer is away or broke the connection."""


class ClientGone(TransportError):
    """The answer cannot be delivered any more: its client, or its Mongrel2, has left."""


class BodyGone(ClientGone, OSError):
    """The rest of a request's body will not come: its client, or its Mongrel2, has left while the application reads."""


class BodyError(M2serveError, OSError):
    """The rest of a request's body cannot be had, and the client can be told why.

    Args:
        status: the HTTP status for the client, where the application does not answer by itself.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ProtocolError(M2serveError):
    """Bytes that the protocol does not allow."""


class LocalProtocolError(ProtocolError):
    """We were about to send something that the protocol does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that the protocol does not allow.

    Args:
        status: the HTTP status for the client, where one can be named.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
