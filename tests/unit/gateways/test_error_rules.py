"""``error-route``: rules for answers that begin, which may give another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from test_route_rules import ask

from m2serve.gateways.routing.call import Quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

TEXT = [("Content-Type", "text/plain")]
CLOSED: list[str] = []


class Slow:
    """Starts with its first piece, and is to be closed."""

    def __init__(self, start: Any, status: str) -> None:
        self._start, self._status = start, status

    def __iter__(self) -> Iterator[bytes]:
        self._start(self._status, TEXT)
        yield b"slow"
        yield b"ly"

    def close(self) -> None:
        CLOSED.append(self._status)


def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    """The path is what it does: ``/list/404``."""
    how, status = environ["PATH_INFO"].strip("/").split("/")
    status += " Made"
    if how == "raise":
        raise ValueError("on purpose")
    if how == "late":
        start(status, TEXT)
        raise ValueError("on purpose")
    if how == "generator":
        return Slow(start, status)
    write = start(status, TEXT)
    if how == "write":
        write(b"wr")
        write(b"itten")
        return []
    if how == "empty":
        return iter(())
    return [b"list"]


@pytest.fixture(autouse=True)
def _nothing_closed() -> None:
    CLOSED.clear()


BODIES = {"list": b"list", "write": b"written", "generator": b"slowly", "empty": b""}


@pytest.mark.parametrize("how", BODIES)
@pytest.mark.parametrize(
    ("rule", "status", "header", "body"),
    [
        ("error-route-status = 404 return:503 Sorry", 503, None, b"Sorry\n"),
        ("error-route-status = 404 break:403", 403, None, b"Forbidden\n"),
        ("error-route-status = 404 redirect:/else?from=${PATH_INFO}", 302, "/else?from=", None),
        ("error-route-status = 404 redirect-permanent:/else", 301, "/else", None),
        ("error-route-if = equal:${uwsgi[status]};404 return:410", 410, None, b"Gone\n"),
        ("error-route = ^/no return:410", 404, None, None),
        ("error-route-status = 404 continue:\nerror-route-run = return:410", 404, None, None),
        ("error-route-status = 404 goto:end\nerror-route-run = return:410\nerror-route-label = end", 404, None, None),
        ("error-route-status = 200 return:410", 404, None, None),
    ],
)
def test_another_answer(how: str, rule: str, status: int, header: str | None, body: bytes | None) -> None:
    got = ask(rule, f"/{how}/404", app=app)
    assert got.status == status
    assert (got.headers.get("Location") or "").startswith(header or "")
    if status == 404:
        assert got.body == BODIES[how]
    elif body is not None:
        assert got.body == body
    if how == "generator":
        assert CLOSED == ["404 Made"]


def test_headers_and_their_order() -> None:
    """As in uWSGI they come before those of response-route, for every status, and go with another answer."""
    rules = "error-route-run = addheader:X-E: ${uwsgi[status]}\nresponse-route-run = addheader:X-R: ${uwsgi[status]}\n"
    got = ask(rules, "/list/200", app=app)
    assert (got.headers["X-E"], got.headers["X-R"]) == ("200", "200")
    got = ask(f"{rules}error-route-status = 404 return:503\nerror-route-run = addheader:X-Not: x", "/list/404", app=app)
    assert (got.status, got.headers["X-E"], got.headers["X-R"]) == (503, "404", "503")
    assert "X-Not" not in got.headers
    assert "Content-Type" not in ask("error-route-status = 404 remheader:Content-Type", "/list/404", app=app).headers


def test_another_answer_is_not_replaced() -> None:
    got = ask("error-route-status = 404 return:503\nerror-route-status = 503 return:404", "/list/404", app=app)
    assert got.status == 503


def test_answers_of_rules_and_files(tmp_path: Path) -> None:
    (tmp_path / "sorry.html").write_text("<p>sorry")
    rules = f"route = ^/x return:403\nerror-route-status = 40[34] static:{tmp_path}/sorry.html"
    for uri in ("/x", "/list/404"):
        got = ask(rules, uri, app=app)
        assert (got.status, got.body, got.headers["Content-Type"]) == (200, b"<p>sorry", "text/html")
    assert ask(rules, "/x", "POST", app=app).status == 405


@pytest.mark.parametrize("how", ["raise", "late"])
def test_an_exception_is_a_500(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """uWSGI gives no answer at all, and asks no rule."""
    got = ask("error-route-status = 500 return:503 Later", f"/{how}/200", app=app)
    assert (got.status, got.body) == (503, b"Later\n")
    assert got.outcome.error == "ValueError: on purpose"
    assert "request failed" in caplog.text
    got = ask("error-route-status = 500 addheader:Retry-After: 5", f"/{how}/200", app=app)
    assert (got.status, got.headers["Retry-After"], got.body) == (500, "5", b"Internal Server Error\n")
    assert ask("error-route-status = 404 return:410", f"/{how}/200", app=app).status == 500


def test_an_answer_that_has_begun_is_not_replaced() -> None:
    def broken(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [*TEXT, ("Content-Length", "100")])
        yield b"begun"
        raise ValueError("on purpose")

    got = ask("error-route-status = 500 return:503", app=broken)
    assert (got.status, got.body, got.closed) == (200, b"begun", True)


def test_the_log_and_the_line() -> None:
    assert type(ask("error-route-status = 404 donotlog:", "/list/404", app=app).outcome) is Quiet
    rules = "error-route-status = 404 logvar:was=${uwsgi[status]}\nerror-route-run = return:410"
    got = ask(rules, "/list/404", app=app)
    assert got.router.logged("was") == b"404"
    assert got.outcome.status == 410


def test_what_fails_in_its_place(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def failing(status: str, headers: Any = ()) -> Callable[..., Any]:
        def fails(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            raise KeyError("too")

        return fails

    monkeypatch.setattr("m2serve.gateways.routing.actions.canned", failing)
    for how in ("list", "raise"):
        got = ask("error-route-run = return:503", f"/{how}/200", app=app)
        assert got.status == 500
        assert b"500" in got.body
    assert "error-route failed" in caplog.text
