"""Which application answers which path, and the table made from settings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.apps.mounts import Mounts, load_all, no_app, not_found, references
from m2serve.config.settings import Settings
from m2serve.config.values import AppRef, Mount
from m2serve.errors import AppLoadError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def app(name: str) -> Callable[[dict[str, Any], Any], list[bytes]]:
    return lambda environ, start_response: [name.encode()]


ROOT, APP, DEEP = app("root"), app("app"), app("deep")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/app", (1, APP, "/app", "")),
        ("/app/", (1, APP, "/app", "/")),
        ("/app/z", (1, APP, "/app", "/z")),
        ("/app/deep", (2, DEEP, "/app/deep", "")),
        ("/app/deep/er", (2, DEEP, "/app/deep", "/er")),
        ("/app/deeper", (1, APP, "/app", "/deeper")),
        ("/app//deep", (1, APP, "/app", "//deep")),
        ("/apple", (0, ROOT, "", "/apple")),
        ("/App", (0, ROOT, "", "/App")),
        ("/", (0, ROOT, "", "/")),
        ("", (0, ROOT, "", "")),
        ("//app", (0, ROOT, "", "//app")),
    ],
)
def test_the_longest_prefix_that_ends_at_a_boundary_answers(path: str, expected: tuple[Any, ...]) -> None:
    mounts = Mounts([("", ROOT), ("/app", APP), ("/app/deep", DEEP)])
    assert mounts.resolve(path) == expected


def test_one_application_takes_everything() -> None:
    assert Mounts([("", ROOT)]).resolve("/any") == (0, ROOT, "", "/any")


def test_without_a_root_the_rest_is_not_found() -> None:
    index, found, script_name, path_info = Mounts([("/app", APP)]).resolve("/other")
    assert (index, found, script_name, path_info) == (1, not_found, "", "/other")
    answers: list[Any] = []
    body = b"".join(found({}, lambda *arguments: answers.append(arguments)))
    assert answers == [("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])]


@given(st.text("/ab", max_size=8), st.lists(st.from_regex(r"\A(/[ab]{1,2}){1,3}\Z"), unique=True))
def test_the_split_loses_nothing(path: str, prefixes: list[str]) -> None:
    mounts = Mounts([(prefix, app(prefix)) for prefix in prefixes])
    _, _, script_name, path_info = mounts.resolve(path)
    assert script_name + path_info == path
    assert path_info[:1] in ("", "/") or script_name == ""
    fitting = [prefix for prefix in prefixes if path == prefix or path.startswith(prefix + "/")]
    assert script_name == max(fitting, key=len, default="")


def test_the_root_comes_first() -> None:
    mounts = (Mount("/a", AppRef("a")),)
    assert references(Settings(mount=mounts)) == mounts
    assert references(Settings(module=AppRef("x"), mount=mounts)) == (Mount("", AppRef("x")), *mounts)
    assert references(Settings(wsgi_file="x.py")) == (Mount("", AppRef(file="x.py")),)


def test_loads_all_and_each_only_once(tmp_path: Path) -> None:
    path = tmp_path / "counted.py"
    path.write_text("class App:\n  def __call__(self, e, s): return []\napp = App\nmade = App()\n")
    file = AppRef(file=str(path))
    settings = Settings(wsgi_file=str(path), callable="made", mount=(Mount("/a", file), Mount("/b", file)))
    apps = load_all(settings).apps
    del sys.modules["m2serve_file_counted"]
    assert [prefix for prefix, _ in apps] == ["", "/a", "/b"]
    assert len({id(loaded) for _, loaded in apps}) == 1


def test_one_failure_fails_all() -> None:
    settings = Settings(mount=(Mount("/a", AppRef("json", attribute="loads")), Mount("/b", AppRef("m2nowhere"))))
    with pytest.raises(AppLoadError, match="m2nowhere"):
        load_all(settings)


def test_nothing_is_the_default_where_that_is_asked_for() -> None:
    mounts = Mounts([("", ROOT), ("/app", APP)], default=False)
    assert mounts.resolve("/app/x")[:2] == (1, APP)
    number, found, _, _ = mounts.resolve("/other")
    assert (number, found) == (2, no_app)
    said: list[str] = []
    assert list(found({"PATH_INFO": "/other"}, lambda status, _: said.append(status))) == [b"Internal Server Error"]
    assert said == ["500 Internal Server Error"]
