"""Settings as text: the report of ``--check`` and the ini file of ``--show-config``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m2serve.config.settings import Examined, Settings
    from m2serve.config.table import Option

_COLUMN = 50


def check_report(examined: Examined) -> str:
    """Every setting with its origin, then what was ignored, then what is wrong.

    A value that was not understood is not among the settings: its option then shows the default.
    """
    settings = examined.settings
    lines = []
    for option in settings.rows:
        if option.kind.many and not settings.value(option.field):
            lines.append(_with_origin(f"; {option.name} =", "default"))
        for name, text, origin in _values(settings, option):
            shown = f"{name} = {text}" if text is not None else f"; {name} ="
            lines.append(_with_origin(shown, origin))
    for title, texts in (
        ("printed at the start", settings.prints),
        ("ignored, and nothing is lost", settings.notes),
        ("warnings", settings.warnings),
        ("mistakes", examined.problems),
    ):
        if texts:
            lines += ["", f"; {title}: {len(texts)}", *(f";   {_one_line(text)}" for text in texts)]
    verdict = "m2serve would not start" if examined.problems else "m2serve would start"
    return "\n".join([*lines, "", f"; {verdict}"]) + "\n"


def as_ini(settings: Settings) -> str:
    """An ini file that gives the same settings; without those that nobody has set."""
    lines = ["[m2serve]"]
    for option in settings.rows:
        if option.field not in settings.origins or option.field == "show_config":
            continue
        for name, text, origin in _values(settings, option):
            if text is None:
                continue
            if "\n" in text or "$(" in text or "@(" in text:
                lines.append(f"; {name} of {origin} cannot be written in an ini file: {_one_line(text)}")
            else:
                lines.append(f"{name} = {text}")
    return "\n".join(lines) + "\n"


def _values(settings: Settings, option: Option) -> Iterator[tuple[str, str | None, str]]:
    """Each value as one would write it in a file: name, text (None for no value) and its origin."""
    value = settings.value(option.field)
    origins = settings.origins.get(option.field, ("default",))
    if option.kind.many:
        named = option.kind.named is not None
        for one, origin in zip(value, origins, strict=False):
            yield one.key if named else option.name, _text(one), origin
    else:
        yield option.name, None if value is None or value == "" else _text(value), origins[0]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}" if value != int(value) else str(int(value))
    return str(value).replace("%", "%%")


def _with_origin(text: str, origin: str) -> str:
    return f"{_one_line(text).ljust(_COLUMN)} ; {origin}"


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r")
