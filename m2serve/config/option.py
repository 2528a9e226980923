"""One option: declared once as a field of a dataclass, read by the command line, the files and the manuals.

The annotation decides how a value is written: ``bool``, ``int``, ``str``, ``Seconds``, ``Bytes``, a
``Literal`` of words, or any class with a ``parse`` class method. ``X | None`` is an X that may be left out,
``tuple[X, ...]`` a list: the option may be repeated and every value counts. A class that has
``allows_comment`` may have a comment behind its value, as numbers may; one that has ``optional`` may be given bare.
One that has ``parse_as`` in place of ``parse`` wants to know under which of its names the option stands; its values say
it as ``key``.
"""

from __future__ import annotations

import math
import re
import types
from dataclasses import Field, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin

from m2serve.errors import ConfigError
from m2serve.ids import Bytes, Seconds

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_METADATA = "m2serve"
_FALSE = frozenset({"false", "off", "no", "0"})
_TRUE = frozenset({"true", "on", "yes", "1", ""})
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_MAX_DIGITS = 18
"""Longer whole numbers are mistakes, and beyond 4300 digits int() raises."""


@dataclass(frozen=True)
class Declaration:
    """What ``option`` was told beside the default."""

    doc: str
    names: tuple[str, ...]
    metavar: str
    minimum: int
    compat: bool


def option(
    default: T,
    doc: str,
    *,
    names: tuple[str, ...] = (),
    metavar: str = "",
    minimum: int = 0,
) -> T:
    """Declare an option as the default of a dataclass field.

    Args:
        doc: one or two sentences for ``--help`` and the manual.
        names: other spellings; one letter makes a short flag.
        metavar: the value's name in the manual, where the type's own says too little.
        minimum: the smallest number allowed.
    """
    declaration = Declaration(doc, names, metavar, minimum, compat=False)
    return field(default=default, metadata={_METADATA: declaration})


def compatible(always: bool, doc: str, *, names: tuple[str, ...] = ()) -> bool:
    """Declare a uWSGI flag that is accepted and changes nothing.

    Args:
        always: what m2serve does; asking for the contrary is answered in the log with *doc*.
    """
    declaration = Declaration(doc, names, "", 0, compat=True)
    return field(default=always, metadata={_METADATA: declaration})


def declaration(of: Field[Any]) -> Declaration:
    """The declaration of a field that ``option`` or ``compatible`` made."""
    return cast("Declaration", of.metadata[_METADATA])


@dataclass(frozen=True)
class Kind:
    """How one type is written.

    ``parse`` raises ConfigError with what was expected. ``comment`` allows a comment behind the value: text
    may contain `` #``, a number cannot. ``optional`` lets the value be left out on the command line, too.
    """

    parse: Callable[[str], Any]
    metavar: str
    comment: bool = False
    flag: bool = False
    many: bool = False
    optional: bool = False
    named: Callable[[str, str], Any] | None = None
    """In place of *parse*: gets the name of the option, too."""

    def read(self, name: str, text: str) -> Any:
        """The value of an option that stands there under this name. Raises: ConfigError: with what was expected."""
        return self.parse(text) if self.named is None else self.named(name, text)


def kind_of(annotation: Any, minimum: int = 0) -> Kind:
    """Derive the parser from an annotation.

    Raises: TypeError: nothing is known about this annotation; a mistake in a declaration.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        inner = kind_of(arguments[0], minimum)
        return Kind(inner.parse, inner.metavar, inner.comment, many=True, named=inner.named)
    if origin in (Union, types.UnionType) and len(arguments) == 2 and arguments[1] is type(None):
        return kind_of(arguments[0], minimum)
    if origin is Literal:
        return Kind(lambda text: _word(text, arguments), "|".join(arguments))
    if annotation is bool:
        return Kind(truth, "", comment=True, flag=True)
    if annotation is int:
        return Kind(lambda text: _whole(text, minimum), "N", comment=True)
    if annotation is Seconds:
        return Kind(lambda text: _seconds(text, minimum), "SECONDS", comment=True)
    if annotation is Bytes:
        return Kind(lambda text: _bytes(text, minimum), "BYTES", comment=True)
    if annotation is str:
        return Kind(_text, "TEXT")
    if hasattr(annotation, "parse"):
        comment, optional = (hasattr(annotation, name) for name in ("allows_comment", "optional"))
        return Kind(annotation.parse, "VALUE", comment=comment, optional=optional)
    if hasattr(annotation, "parse_as"):
        return Kind(_text, "VALUE", named=annotation.parse_as)
    raise TypeError(f"no way to read a value of {annotation!r}")


def truth(text: str) -> bool:
    """uWSGI's rule: every text is true except four words."""
    return text.strip().lower() not in _FALSE


def clear_truth(text: str) -> bool:
    """Whether the text is a word for true or false, so that nobody can be surprised."""
    word = text.strip().lower()
    return word in _FALSE or word in _TRUE or word.isdigit()


def _text(text: str) -> str:
    if text == "" or "\0" in text:
        raise ConfigError("expected a value")
    return text


def _word(text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        raise ConfigError(f"expected one of {', '.join(words)}")
    return text


def _whole(text: str, minimum: int) -> int:
    # uWSGI reads "4x" as 4 and "many" as 0; what the user meant is then lost without a word.
    match = re.fullmatch(r"[+-]?[0-9]+", text.strip())
    if match is None or len(match[0]) > _MAX_DIGITS or int(match[0]) < minimum:
        raise ConfigError(f"expected a whole number, {minimum} or more")
    return int(match[0])


def _seconds(text: str, minimum: int) -> Seconds:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or len(match[1]) > _MAX_DIGITS or match[2] not in _SECONDS:
        raise ConfigError("expected a number of seconds, or a number with ms, s, m or h")
    value = float(match[1]) * _SECONDS[match[2]]
    if value < minimum or not math.isfinite(value):
        raise ConfigError(f"expected a number of seconds, {minimum} or more")
    return Seconds(value)


def _bytes(text: str, minimum: int) -> Bytes:
    match = re.fullmatch(r"([0-9]+)\s*([kmg]?)(?:i?b)?", text.strip().lower())
    if match is None or len(match[1]) > _MAX_DIGITS:
        raise ConfigError("expected a number of bytes, or a number with K, M or G (1024 each)")
    value = int(match[1]) * _BYTES[match[2]]
    if value < minimum:
        raise ConfigError(f"expected {minimum} bytes or more")
    return Bytes(value)
