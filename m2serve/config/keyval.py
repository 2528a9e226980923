"""uWSGI's lists of names and values: ``minute=-5,unique=1``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse(text: str, names: Mapping[str, str]) -> dict[str, str]:
    """Read ``name=value,name=value``; a comma in double quotes, or behind a backslash, is part of the value.

    Args:
        names: every spelling to the name under which its value is given.

    Raises: ConfigError: with what was expected.
    """
    found: dict[str, str] = {}
    for item in _items(text):
        name, separator, value = item.partition("=")
        name = name.strip()
        if not name and not separator:
            continue
        if name not in names:
            raise ConfigError(f"{name!r}: expected NAME=VALUE with one of {', '.join(dict.fromkeys(names.values()))}")
        # A name by itself is a flag.
        found[names[name]] = value.strip() if separator else "1"
    return found


def _items(text: str) -> list[str]:
    items, current, quoted, escaped = [], "", False, False
    for char in text:
        if escaped:
            current += char if char in ',"\\' else "\\" + char
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            items.append(current)
            current = ""
        else:
            current += char
    if quoted:
        raise ConfigError('expected a second "')
    return [*items, current + ("\\" if escaped else "")]


def number(values: Mapping[str, str], name: str, default: int) -> int:
    """A whole number, 0 or more.

    Raises: ConfigError: it is none.
    """
    text = values.get(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise ConfigError(f"{name}={text}: expected a whole number")
    return int(text)
