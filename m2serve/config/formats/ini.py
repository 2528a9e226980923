"""uWSGI's ini files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.config.formats.content import Content, Line

if TYPE_CHECKING:
    from collections.abc import Collection


def read(text: str, sections: Collection[str]) -> Content:
    """The lines of these sections; of a name that occurs twice, both."""
    content = Content()
    current: str | None = None
    # Not splitlines(): form feeds and Unicode separators are ordinary characters for uWSGI.
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(" \t\r")
        if not line or line[0] in ";#":
            continue
        if line[0] == "[":
            current = _section_name(line, number, content)
            content.found = content.found or current in sections
        elif current in sections:
            key, _, value = (part.strip(" \t") for part in line.partition("="))
            content.lines.append(Line(key, value, number))
        elif current is None:
            content.warnings.append((number, "ignored, it stands before the first section"))
    return content


def _section_name(line: str, number: int, content: Content) -> str:
    name, bracket, rest = line[1:].partition("]")
    if not bracket:
        content.problems.append((number, f"{line}: expected ']' after the name of the section"))
    elif rest.strip() and rest.strip()[0] not in ";#":
        content.problems.append((number, f"{line}: expected nothing behind ']'"))
    return name
