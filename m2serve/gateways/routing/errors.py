"""``error-route``: another answer in place of one that begins."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from m2serve.gateways.filewrapper import FileWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from m2serve.gateways.base import Environ, WSGIApp
    from m2serve.gateways.routing.call import Call

log = logging.getLogger("m2serve.route")

_WHOLE = (list, tuple, FileWrapper, bytes, str)


def guarded(app: WSGIApp, call: Call) -> WSGIApp:
    """The application, whose answer is not given where the rules have another one."""

    def application(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        result = app(environ, start)
        if not call.begun and call.instead is None and not isinstance(result, _WHOLE):
            result = _Begun(result)  # it starts with its first piece
        if call.instead is None:
            return result
        close(result)
        return call.instead(environ, call.start_instead)

    return application


class _Begun:
    """A result whose first piece has been asked for."""

    def __init__(self, result: Iterable[bytes]) -> None:
        self._result = result
        try:
            self._rest = iter(result)
            self._first = next(self._rest, None)
        except BaseException:
            close(result)
            raise

    def __iter__(self) -> Iterator[bytes]:
        if self._first is not None:
            yield self._first
            yield from self._rest

    def close(self) -> None:
        """As PEP 3333 has it."""
        function = getattr(self._result, "close", None)
        if function is not None:
            function()


def close(result: object) -> None:
    """Close what nobody will read; a fault is told in the log alone."""
    function = getattr(result, "close", None)
    try:
        if function is not None:
            function()
    except Exception:
        log.exception("close() of an answer that error-route has replaced failed")
