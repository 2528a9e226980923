"""Applications as PasteDeploy names them, in the ini files of Pyramid, TurboGears and Galaxy."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from m2serve.config.option import clear_truth, truth
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from m2serve.config.settings import Settings

_CONFIG = "config:"


class PasteUri(str):
    """``config:FILE``, ``config:FILE#NAME``, ``egg:NAME``, or a file."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> PasteUri:
        """Raises: ConfigError: with what was expected."""
        text = text.strip()
        if "\0" in text or not text.rpartition(":")[2]:
            raise ConfigError("expected config:FILE, config:FILE#NAME or egg:NAME")
        return cls(text)

    @property
    def uri(self) -> str:
        """As PasteDeploy wants it."""
        return str(self) if self.startswith((_CONFIG, "egg:", "call:")) else f"{_CONFIG}{self}"

    @property
    def file(self) -> str | None:
        """The file that is read for it; None: none is."""
        return self.uri.removeprefix(_CONFIG).partition("#")[0] if self.uri.startswith(_CONFIG) else None


class PasteLogger(str):
    """A file, or a word for true, which is that of the application, or for false."""

    __slots__ = ()
    optional = True

    @classmethod
    def parse(cls, text: str) -> PasteLogger:
        """Raises: ConfigError: with what was expected."""
        if "\0" in text:
            raise ConfigError("expected a file, or true or false")
        return cls(text)

    def of(self, uri: PasteUri | None) -> str | None:
        """The file that sets up the logging; None: none does."""
        if not clear_truth(self):
            return str(self)
        return uri.file if uri is not None and truth(self) else None


def paste_uri(settings: Settings) -> PasteUri | None:
    """The application at the root, where PasteDeploy is to find it."""
    if settings.paste is not None:
        return settings.paste
    file = settings.ini_paste or settings.ini_paste_logged
    return PasteUri(f"{_CONFIG}{file}") if file is not None else None


def logging_file(settings: Settings) -> str | None:
    """The file by which PasteDeploy's friends set up ``logging``; None: none does."""
    uri = paste_uri(settings)
    if settings.paste_logger is not None:
        return settings.paste_logger.of(uri)
    return os.path.abspath(settings.ini_paste_logged) if settings.ini_paste_logged is not None else None
