"""TOML files: a table with the section's name holds the keys."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from m2serve.config.formats.content import Content, add

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_PLACE = re.compile(r"\(at line (\d+), column \d+\)")
_HEADER = re.compile(r"\s*\[\s*[\"']?(?P<name>[^\"'\]]*?)[\"']?\s*\]\s*(?:#.*)?")


def _parser() -> tuple[Callable[[str], dict[str, Any]] | None, type[ValueError]]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError:
            return None, ValueError
    return tomllib.loads, tomllib.TOMLDecodeError


def read(text: str, sections: Collection[str]) -> Content:
    """The keys of these tables; an array repeats its key."""
    content = Content()
    loads, mistake = _parser()
    if loads is None:
        content.found = True
        content.problems.append((0, "expected Python 3.11 or the package tomli: nothing else here reads TOML"))
        return content
    try:
        tables = loads(text)
    except (mistake, RecursionError, ValueError) as error:
        content.found = True
        place = _PLACE.search(str(error))
        reason = _PLACE.sub("", str(error)).strip()
        content.problems.append((int(place[1]) if place else 0, f"expected TOML: {reason[:1].lower()}{reason[1:]}"))
        return content
    for section, table in tables.items():
        if section not in sections:
            continue
        content.found = True
        if not isinstance(table, dict):
            content.problems.append((_line(text, "", section), f"{section}: expected a table [{section}]"))
            continue
        for key, value in table.items():
            add(content, key, value, _line(text, section, key))
    content.lines.sort(key=lambda line: line.number)
    return content


def _line(text: str, section: str, key: str) -> int:
    """Where the key of a table stands; the library does not tell. 0 when it is written in an unusual way."""
    assignment = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
    current = ""
    for number, line in enumerate(text.split("\n"), start=1):
        header = _HEADER.fullmatch(line)
        if header is not None:
            current = header["name"]
        elif current == section and assignment.match(line):
            return number
    return 0
