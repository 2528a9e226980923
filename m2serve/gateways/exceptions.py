"""What an exception of the application's brings about beside a 500."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from m2serve.config.settings import Settings
    from m2serve.message import Request


class Exceptions:
    """Threads: any.

    Args:
        replace: called, with a reason, when the worker is to be replaced.
        every: by any exception.
        types: by those of these classes, ``Class`` or ``module.Class``.
        values: by those with these texts.
        reprs: by ``Class: text`` or ``module.Class: text``.
        shown: the client gets the traceback.
    """

    def __init__(
        self,
        replace: Callable[[str], None],
        *,
        every: bool = False,
        types: Collection[str] = (),
        values: Collection[str] = (),
        reprs: Collection[str] = (),
        shown: bool = False,
    ) -> None:
        self._replace = replace
        self._every = every
        self._types = frozenset(types)
        self._values = frozenset(values)
        self._reprs = frozenset(reprs)
        self._shown = shown
        self._any = every or shown or bool(types or values or reprs)

    @classmethod
    def of(cls, settings: Settings, replace: Callable[[str], None]) -> Exceptions | None:
        """What the options say; None: an exception is answered 500 and logged, and that is all."""
        known = cls(
            replace,
            every=settings.reload_on_exception,
            types=settings.reload_on_exception_type,
            values=settings.reload_on_exception_value,
            reprs=settings.reload_on_exception_repr,
            shown=settings.catch_exceptions,
        )
        return known if known._any else None

    def raised(self, error: BaseException) -> None:
        """The application has raised."""
        kind = type(error)
        names = {kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}"}
        text = _text(error) if self._values or self._reprs else ""
        if (
            self._every
            or names & self._types
            or text in self._values
            or {f"{name}: {text}" for name in names} & self._reprs
        ):
            self._replace(f"reload-on-exception, {kind.__qualname__}")

    def page(self, error: BaseException, request: Request) -> str:
        """What the client gets to see; empty: no more than usual."""
        if not self._shown:
            return ""
        method = request.headers.get(b"METHOD", b"")
        line = f"{_shown(method)} {_shown(request.headers.get(b'URI', request.path))}"
        return f"exception in {line}\n\n" + "".join(traceback.format_exception(error))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""  # an exception of the application's may fail at that, too


def _shown(value: bytes | list[bytes]) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else ""
