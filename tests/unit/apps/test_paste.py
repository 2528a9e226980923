"""Applications that PasteDeploy finds; a stand-in for it lies on the search path."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

from m2serve.apps import mounts, paste
from m2serve.apps.loader import load
from m2serve.config.outside import Outside
from m2serve.config.paste import PasteLogger, PasteUri, logging_file
from m2serve.config.settings import Settings, examine
from m2serve.config.values import AppRef, Mount
from m2serve.errors import AppLoadError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEPLOY = """
def loadapp(uri, relative_to=None):
    if uri.endswith("#broken"):
        raise LookupError("no section [app:broken]")
    if uri.endswith("#none"):
        return None
    return lambda environ, start: [uri.encode(), relative_to.encode()]
"""
LOGGERS = """
[loggers]
keys = root, shop
[handlers]
keys =
[formatters]
keys =
[logger_root]
handlers =
[logger_shop]
level = ERROR
handlers =
qualname = shop.at.%(here)s
"""


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = tmp_path / "library" / "paste" / "deploy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(DEPLOY)
    for name in [name for name in sys.modules if name.partition(".")[0] == "paste"]:
        monkeypatch.delitem(sys.modules, name)  # the library itself
    monkeypatch.setattr(sys, "path", [str(tmp_path / "library"), *sys.path])
    monkeypatch.chdir(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "paste"]:
        del sys.modules[name]


def settings(text: str, name: str = "/srv/app.ini") -> Settings:
    whole = f"[uwsgi]\nzeromq = tcp://127.0.0.1:1,tcp://127.0.0.1:2\n{text}"
    return examine(["--ini", name], {}, Outside(read_file=lambda path: whole), "/etc").settings


@pytest.mark.usefixtures("deploy")
def test_it_is_asked_for_the_application(tmp_path: Path) -> None:
    app = load(AppRef(paste="config:app.ini#shop"))
    assert app({}, None) == [b"config:app.ini#shop", str(tmp_path).encode()]


@pytest.mark.usefixtures("deploy")
def test_an_application_that_it_does_not_find() -> None:
    with pytest.raises(AppLoadError, match="#broken: loading it raised LookupError: no section"):
        load(AppRef(paste="config:a.ini#broken"))
    with pytest.raises(AppLoadError, match="#none: it is None; expected a callable"):
        load(AppRef(paste="config:a.ini#none"))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name="paste")

    monkeypatch.setattr(paste.importlib, "import_module", missing)
    with pytest.raises(AppLoadError, match=r"expected PasteDeploy beside the application .*m2serve\[paste\]"):
        load(AppRef(paste="egg:shop"))


def test_a_library_that_misses_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'other'", name="other")

    monkeypatch.setattr(paste.importlib, "import_module", missing)
    with pytest.raises(AppLoadError, match="ModuleNotFoundError: No module named 'other'"):
        load(AppRef(paste="egg:shop"))


def test_names() -> None:
    assert PasteUri.parse("/srv/app.ini").uri == "config:/srv/app.ini"
    assert PasteUri.parse("config:app.ini#shop").file == "app.ini"
    assert PasteUri.parse("egg:shop").file is None
    for text in ("", "config:", "config:a\0"):
        with pytest.raises(ConfigError, match="expected config:FILE"):
            PasteUri.parse(text)
    assert Mount.parse("/shop=/srv/shop.ini").app == AppRef(paste="config:/srv/shop.ini")
    assert str(Mount.parse("/shop=config:shop.ini#x")) == "/shop=config:shop.ini#x"


def test_the_file_that_sets_up_the_logging() -> None:
    uri = PasteUri.parse("config:/srv/app.ini#shop")
    assert PasteLogger.parse("/srv/log.ini").of(uri) == "/srv/log.ini"
    assert PasteLogger.parse("").of(uri) == "/srv/app.ini"
    assert PasteLogger.parse("true").of(uri) == "/srv/app.ini"
    assert PasteLogger.parse("false").of(uri) is None
    assert PasteLogger.parse("true").of(None) is None
    assert logging_file(settings("paste = config:%p\npaste-logger\n")) == "/srv/app.ini"
    assert logging_file(settings("paste = config:%p\n")) is None
    assert logging_file(settings("ini-paste-logged = %p\n")) == "/srv/app.ini"


def test_a_file_that_names_itself() -> None:
    made = settings("ini-paste = %p\nprocesses = 3\n", "app.ini")
    assert (made.ini_paste, made.processes) == ("/etc/app.ini", 3)
    assert mounts.references(made) == (Mount("", AppRef(paste="config:/etc/app.ini")),)


def test_another_file_is_read_besides() -> None:
    def read(path: str) -> str:
        return "[uwsgi]\nprocesses = 5\n" if path.endswith("pyramid.ini") else "[uwsgi]\nini-paste = pyramid.ini\n"

    made = examine(["--ini", "/srv/own.ini"], {}, Outside(read_file=read), "/etc").settings
    assert (made.ini_paste, made.processes) == ("/etc/pyramid.ini", 5)


def test_one_application_at_the_root(tmp_path: Path) -> None:
    text = "[uwsgi]\nzeromq = tcp://127.0.0.1:1,tcp://127.0.0.1:2\nmodule = a\npaste = config:no.ini\n"
    problems = examine(["--ini", "a.ini"], {}, Outside(read_file=lambda path: text), str(tmp_path)).problems
    assert len(problems) == 2
    assert problems[0] == "a.ini:3: module: expected one of module and paste; the other is at a.ini:4"
    assert "'no.ini': expected an existing file below" in problems[1]


def test_logging_as_the_file_says(tmp_path: Path) -> None:
    root = logging.getLogger()
    kept = (root.handlers[:], root.level)
    ours = logging.getLogger("m2serve.test.paste")
    try:
        (tmp_path / "a.ini").write_text(LOGGERS)
        paste.set_up_logging(str(tmp_path / "a.ini"))
        assert logging.getLogger(f"shop.at.{tmp_path}").level == logging.ERROR
        assert not ours.disabled
        (tmp_path / "b.ini").write_text("[app:main]\nuse = egg:x\n")
        paste.set_up_logging(str(tmp_path / "b.ini"))
        (tmp_path / "c.ini").write_text("[loggers]\nkeys = root\n")
        with pytest.raises(AppLoadError, match=r"paste-logger .*c\.ini: KeyError"):
            paste.set_up_logging(str(tmp_path / "c.ini"))
    finally:
        root.handlers[:], level = kept
        root.setLevel(level)
