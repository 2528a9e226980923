"""Finding applications in modules and files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from m2serve.apps.loader import load
from m2serve.config.values import AppRef
from m2serve.errors import AppLoadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHOP = """
def application(environ, start_response): return [b"default"]
def other(environ, start_response): return [b"other"]
class site:
    app = other
def create(): return other
def needs(argument): return other
def nothing(): return None
def breaks(): raise RuntimeError("no\\n  database")
def leaves(): raise SystemExit(3)
number = 3
def __getattr__(name):
    if name == "lazy": raise KeyError("lazily")
    raise AttributeError(name)
"""


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on sys.path; what is imported from it is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "m2shop.py").write_text(SHOP)
    (tmp_path / "m2package").mkdir()
    (tmp_path / "m2package" / "__init__.py").touch()
    (tmp_path / "m2package" / "wsgi.py").write_text(SHOP)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "attribute", "body"),
    [
        ("m2shop", "application", b"default"),
        ("m2shop", "other", b"other"),
        ("m2shop", "create()", b"other"),
        ("m2shop:other", "application", b"other"),
        ("m2shop:other", "create()", b"other"),
        ("m2shop:site.app", "application", b"other"),
        ("m2shop:create()", "application", b"other"),
        ("m2package.wsgi", "application", b"default"),
        ("m2package.wsgi:create()", "application", b"other"),
    ],
)
def test_loads_from_a_module(text: str, attribute: str, body: bytes) -> None:
    assert load(AppRef.parse(text), attribute)({}, None) == [body]


@pytest.mark.parametrize(
    ("text", "summary", "cause"),
    [
        ("m2nowhere", "m2nowhere: no module 'm2nowhere' on sys.path", ModuleNotFoundError),
        ("m2nowhere.a.b", "m2nowhere.a.b: no module 'm2nowhere' on sys.path", ModuleNotFoundError),
        ("m2package.no", "m2package.no: no module 'm2package.no' on sys.path", ModuleNotFoundError),
        ("m2shop.py", "no module 'm2shop.py' on sys.path; a file is loaded with wsgi-file", ModuleNotFoundError),
        ("m2shop:aplication", "no attribute 'aplication'; did you mean 'application'?", AttributeError),
        ("m2shop:site.no", "m2shop:site.no: no attribute 'site.no'", AttributeError),
        ("m2shop:lazy", "m2shop:lazy: looking up 'lazy' raised KeyError: 'lazily'", KeyError),
        ("m2shop:number", "number is of type int; expected a callable WSGI application", None),
        ("m2shop:number()", "number is of type int; expected a factory", None),
        ("m2shop:nothing()", "nothing() returned None; expected a callable", None),
        ("m2shop:needs()", "calling needs() raised TypeError", TypeError),
        ("m2shop:breaks()", "calling breaks() raised RuntimeError: no database", RuntimeError),
        ("m2shop:leaves()", "calling leaves() raised SystemExit: 3", SystemExit),
    ],
)
def test_says_in_one_line_what_failed(text: str, summary: str, cause: type[BaseException] | None) -> None:
    with pytest.raises(AppLoadError) as caught:
        load(AppRef.parse(text))
    assert summary in str(caught.value)
    assert "\n" not in str(caught.value)
    assert type(caught.value.__cause__) is (cause or type(None))


@pytest.mark.parametrize(
    ("source", "summary", "cause"),
    [
        ("import m2missing", "raised ModuleNotFoundError: No module named 'm2missing'", ModuleNotFoundError),
        ("1 / 0", "raised ZeroDivisionError: division by zero", ZeroDivisionError),
        ("def", "raised SyntaxError", SyntaxError),
        ("raise SystemExit", "raised SystemExit", SystemExit),
        ("import sys; sys.exit('bye')", "raised SystemExit: bye", SystemExit),
    ],
)
@pytest.mark.parametrize("file", [False, True])
def test_code_that_fails(site: Path, source: str, summary: str, cause: type[BaseException], file: bool) -> None:
    path = site / "m2broken.py"
    path.write_text(source)
    ref = AppRef(file=str(path)) if file else AppRef("m2broken")
    with pytest.raises(AppLoadError) as caught:
        load(ref)
    assert summary in str(caught.value)
    assert type(caught.value.__cause__) is cause
    assert not [name for name in sys.modules if "m2broken" in name]


def test_an_interrupt_is_nobodys_mistake(site: Path) -> None:
    (site / "m2broken.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(AppRef("m2broken"))


def test_loads_a_file_as_a_module(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site / "my-app.wsgi"
    path.write_text("def application(environ, start_response): return [__name__.encode(), __file__.encode()]")
    monkeypatch.chdir(site)
    name, file = load(AppRef(file="my-app.wsgi"))({}, None)
    assert name == b"m2serve_file_my_app"
    assert file == bytes(path)
    assert sys.modules["m2serve_file_my_app"].__file__ == str(path)


def test_two_files_of_one_name_are_two_modules(site: Path) -> None:
    for folder in ("a", "b"):
        (site / folder).mkdir()
        (site / folder / "app.py").write_text(f"def application(e, s): return [b{folder!r}]")
    loaded = [load(AppRef(file=str(site / folder / "app.py"))) for folder in ("a", "b")]
    assert [app({}, None) for app in loaded] == [[b"a"], [b"b"]]
    assert {app.__module__ for app in loaded} == {"m2serve_file_app", "m2serve_file_app_2"}


def test_a_file_that_cannot_be_read(site: Path) -> None:
    with pytest.raises(AppLoadError, match="cannot be read: No such file"):
        load(AppRef(file=str(site / "none.py")))


def test_a_file_has_none_of_our_language_options(site: Path) -> None:
    path = site / "app.py"
    path.write_text("def application(e: undefined_name, s): pass")
    with pytest.raises(AppLoadError, match="NameError"):
        load(AppRef(file=str(path)))
