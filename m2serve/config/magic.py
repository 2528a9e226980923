"""The one-letter variables that depend on a file."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_UPPER = "OPSNEDCXIJ"
LETTER = re.compile(r"%([%A-Za-z0-9\[])")


def file_magic(path: str, section: str, directory: str, inode: int = 0) -> dict[str, str]:
    """``%o %p %s %n %e %d %c %0``-``%9`` ``%x %i %j``.

    Args:
        path: as the user wrote it.
        section: as the user asked for it, empty when none was named.
        directory: what a relative path is relative to.
        inode: of the file.
    """
    absolute = os.path.normpath(os.path.join(directory, path))
    folder, name = os.path.split(absolute)
    stem, ending = os.path.splitext(name)
    parts = [part for part in folder.split("/") if part]
    magic = {
        "o": path,
        "p": absolute,
        "s": name,
        "n": stem,
        "e": ending[1:],
        "d": folder if folder.endswith("/") else folder + "/",
        "c": parts[-1] if parts else "",
        "x": section,
        "i": str(inode),
        "j": _djb33x(absolute).to_bytes(4, "little").hex().upper(),
    }
    return magic | {str(position): part for position, part in enumerate(parts[:10])}


def in_name(text: str, magic: Mapping[str, str]) -> str:
    """A key with its letters replaced; in values that is done with all other placeholders."""
    if "%" not in text:
        return text
    return LETTER.sub(lambda match: "%" if match[1] == "%" else magic.get(match[1], match[0]), text)


def first_file_magic(magic: dict[str, str]) -> dict[str, str]:
    """The upper-case letters: the same about the first file, for those that it includes."""
    return {letter: magic[letter.lower()] for letter in _UPPER}


def _djb33x(text: str) -> int:
    """Bernstein's hash with exclusive or, 32 bits."""
    value = 5381
    for byte in text.encode("utf-8", "surrogatepass"):
        value = ((value << 5) + value ^ byte) & 0xFFFFFFFF
    return value
