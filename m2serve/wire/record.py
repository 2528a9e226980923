"""Dataclasses and named tuples as JSON, and back with every value checked against its annotation.

Known are ``bool``, ``int``, ``float``, ``str``, enumerations (by name), literals, ``X | None``, ``tuple[X, ...]``,
``tuple[X, Y]``, mappings from strings, new types, and classes made of these. What a reader does not know it passes
over; what a writer did not know has its default.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

from m2serve.errors import RemoteProtocolError


def write(value: Any) -> Any:
    """*value* as ``json.dumps`` takes it."""
    if isinstance(value, Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: write(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: write(one) for name, one in zip(value._fields, value, strict=True)}
    if isinstance(value, Mapping):
        return {key: write(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [write(one) for one in value]
    return value


def read(kind: Any, value: Any, names: Mapping[str, Any], at: str) -> Any:
    """*value*, from JSON, as the type *kind*.

    Args:
        names: what annotations mean that their modules import for type checkers only.
        at: where the value stands, for the message.

    Raises: RemoteProtocolError: it is something else.
    """
    if isinstance(kind, typing.NewType):
        return read(kind.__supertype__, value, names, at)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (wanted,) = [one for one in arguments if one is not types.NoneType]
        return None if value is None else read(wanted, value, names, at)
    if origin is typing.Literal:
        if value not in arguments:
            raise _unexpected(" or ".join(map(str, arguments)), value, at)
        return value
    if origin is tuple:
        return _tuple(arguments, value, names, at)
    if origin is Mapping or origin is dict:
        found = _expect(dict, value, at)
        return {key: read(arguments[1], one, names, f"{at}.{key}") for key, one in found.items()}
    if isinstance(kind, type) and issubclass(kind, Enum):
        if not isinstance(value, str) or value not in kind.__members__:
            raise _unexpected(kind.__name__, value, at)
        return kind[value]
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        return _object(kind, _expect(dict, value, at), names, at)
    if kind is float and type(value) is int:
        return float(value)
    return _expect(kind, value, at)


def _tuple(arguments: tuple[Any, ...], value: Any, names: Mapping[str, Any], at: str) -> tuple[Any, ...]:
    found = _expect(list, value, at)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(found)
    if len(arguments) != len(found):
        raise _unexpected(f"{len(arguments)} values", value, at)
    pairs = zip(arguments, found, strict=True)
    return tuple(read(kind, one, names, f"{at}[{index}]") for index, (kind, one) in enumerate(pairs))


def _object(kind: Any, value: Mapping[str, Any], names: Mapping[str, Any], at: str) -> Any:
    hints = typing.get_type_hints(kind, None, dict(names))
    known = {name: read(hint, value[name], names, f"{at}.{name}") for name, hint in hints.items() if name in value}
    try:
        return kind(**known)
    except TypeError as error:
        raise RemoteProtocolError(f"{at}: {error}") from None


def _expect(kind: Any, value: Any, at: str) -> Any:
    # Not isinstance: True would be an integer.
    if type(value) is not kind:
        raise _unexpected(kind.__name__, value, at)
    return value


def _unexpected(expected: str, value: Any, at: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"{at}: {repr(value)[:40]}: expected {expected}")
