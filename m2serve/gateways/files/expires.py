"""How long clients may keep which file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2serve.config.settings import Settings
    from m2serve.config.static_values import Expiry
    from m2serve.gateways.base import Environ


class Expiries:
    """The rules of ``static-expires`` and its kin. The first that matches counts: names, PATH_INFO, URI, type; of each
    those that count from now on before those that count from the file's time.
    """

    def __init__(self, settings: Settings) -> None:
        self._names = settings.static_expires, settings.static_expires_mtime
        self._paths = settings.static_expires_path_info, settings.static_expires_path_info_mtime
        self._uris = settings.static_expires_uri, settings.static_expires_uri_mtime
        self._types = settings.static_expires_type, settings.static_expires_type_mtime
        self._any = any(rules for pair in (self._names, self._paths, self._uris, self._types) for rules in pair)

    def of(self, environ: Environ, name: str, kind: str, now: float, modified: float) -> float | None:
        """When the file expires, in seconds since the epoch; None: nobody has said.

        Args:
            name: of the file, with its directories.
            kind: its media type.
            now, modified: seconds since the epoch.
        """
        if not self._any:
            return None
        for pair, text in (
            (self._names, name),
            (self._paths, environ["PATH_INFO"]),
            (self._uris, environ["REQUEST_URI"]),
        ):
            for rules, since in zip(pair, (now, modified), strict=True):
                seconds = _first(rules, text)
                if seconds is not None:
                    return since + seconds
        for types, since in zip(self._types, (now, modified), strict=True):
            for rule in types:
                if rule.type == kind:
                    return since + rule.seconds
        return None


def _first(rules: tuple[Expiry, ...], text: str) -> float | None:
    return next((rule.seconds for rule in rules if rule.regexp.search(text)), None)
