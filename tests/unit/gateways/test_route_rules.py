"""Internal routing: what rules do with requests and answers."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from serving import HeldBack, gateway
from support.channel import FakeChannel, FakeClock, make_request
from support.validator import read_answer, validated

from m2serve.config.outside import Outside
from m2serve.config.settings import examine
from m2serve.gateways.base import NO_APP, Outcome
from m2serve.gateways.files.search import StaticFiles
from m2serve.gateways.routing.call import Quiet
from m2serve.gateways.routing.router import Router
from m2serve.gateways.wsgi import Pending

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SERVES = "[uwsgi]\nzeromq = tcp://127.0.0.1:1,tcp://127.0.0.1:2\nmodule = app\n"


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    environ: dict[str, Any]
    """What the application saw; empty: it was not asked."""
    outcome: Outcome
    router: Router
    closed: bool


def ask(rules: str, uri: str = "/", method: str = "GET", *, base: str = "/", app: Any = None, **headers: str) -> Got:
    """Send one request through a gateway with these lines of an ini file."""
    examined = examine(["--ini", "a.ini"], {}, Outside(read_file=lambda path: _SERVES + rules), "/")
    assert examined.problems == ()
    settings = examined.settings
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        seen.update(environ)
        start("200 OK", [("Content-Type", "text/plain"), ("X-App", "yes")])
        return [b"application"]

    router = Router.of(settings, base, StaticFiles(settings, base))
    assert router is not None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request, channel = make_request(method, uri, named), FakeChannel()
    made = gateway(validated(app or application), FakeClock(), HeldBack(), router=router)  # type: ignore[arg-type]
    outcome = made.handle(request, channel, "id-1")
    assert isinstance(outcome, Outcome)
    answer = read_answer(channel.sent, method=method, version="HTTP/1.1", closed=channel.closed)
    assert outcome.status == answer.status
    return Got(answer.status, dict(answer.headers), answer.body, seen, outcome, router, channel.closed)


@pytest.mark.parametrize(
    ("rules", "uri", "headers", "status"),
    [
        ("route = ^/x break:403 Forbidden", "/x/y", {}, 403),
        ("route = ^/x break:403 Forbidden", "/y", {}, 200),
        ("route = ^/x break:", "/x", {}, 403),
        ("route = ^/x return:404", "/x", {}, 404),
        ("route = ^/x break-with-status:418 Teapot", "/x", {}, 418),
        ("route = ^/x return:299", "/x", {}, 299),
        ("route = ^/x return:204", "/x", {}, 204),
        ("route-host = ^www\\. return:404", "/", {"host": "www.example.org"}, 404),
        ("route-uri = \\?a=1$ return:404", "/x?a=1", {}, 404),
        ("route-qs = ^a=1$ return:404", "/x?a=1", {}, 404),
        ("route-user-agent = curl return:404", "/", {"user_agent": "curl/8"}, 404),
        ("route-referer = spam return:404", "/", {"referer": "http://spam/"}, 404),
        ("route-remote-addr = . return:404", "/", {}, 404),
        ("route-remote-user = ^$ return:404", "/", {}, 404),
        ("route-run = return:404", "/", {}, 404),
        ("route = ^/x last:\nroute-run = return:404", "/x", {}, 200),
        ("route = ^/x continue:\nroute-run = return:404", "/y", {}, 404),
        ("route = ^/x goto:end\nroute-run = return:404\nroute-label = end", "/x", {}, 200),
        ("route = ^/x goto:end\nroute-run = return:404\nroute-label = end", "/y", {}, 404),
        ("route = ^/x uwsgi:127.0.0.1:9000,0,0\nroute-run = return:404", "/x", {}, 404),
        ("route-if = equal:${HTTP_X_A};1 return:404", "/", {"x_a": "1"}, 404),
        ("route-if-not = equal:${HTTP_X_A};1 return:404", "/", {"x_a": "1"}, 200),
        ("route-if = empty:${HTTP_X_A} return:404", "/", {}, 404),
        ("route-if = startswith:${PATH_INFO};/x return:404", "/x/y", {}, 404),
        ("route-if = endswith:${PATH_INFO};.php return:404", "/x.php", {}, 404),
        ("route-if = contains:${PATH_INFO};/.git return:404", "/.git/config", {}, 404),
        ("route-if = regexp:${PATH_INFO};^/([0-9]+)$ return:404", "/12", {}, 404),
        ("route-if-not = regexp:${PATH_INFO};^/[0-9]+$ return:404", "/12", {}, 200),
        ("route-if-not = regexp:${PATH_INFO};^/[0-9]+$ return:404", "/a", {}, 404),
        ("route-if = ishigher:${HTTP_X_A};10 return:404", "/", {"x_a": "11"}, 404),
        ("route-if = ishigherequal:${HTTP_X_A};10 return:404", "/", {"x_a": "10"}, 404),
        ("route-if = islower:${HTTP_X_A};10 return:404", "/", {"x_a": "no number"}, 404),
        ("route-if = islowerequal:${HTTP_X_A};10 return:404", "/", {"x_a": "11"}, 200),
        ("route-if = ipv4in:${HTTP_X_A};10.0.0.0/8 return:404", "/", {"x_a": "10.1.2.3"}, 404),
        ("route-if = ipv4in:${HTTP_X_A};10.0.0.0/8 return:404", "/", {"x_a": "nobody"}, 200),
        ("route-if = ipv6in:${HTTP_X_A};fd00::/8 return:404", "/", {"x_a": "fd00::1"}, 404),
        ("route-if = exists:/ return:404", "/", {}, 404),
        ("route-if = isdir:/${HTTP_X_A} return:404", "/", {"x_a": "nowhere at all"}, 200),
        ("route-if = isfile:/ return:404", "/", {}, 200),
        ("route-if = islink:/ return:404", "/", {}, 200),
        ("route-if = isexec:/bin/sh return:404", "/", {}, 404),
        ("route-if = equal:${cookie[id]};7 return:404", "/", {"cookie": "a=b; id=7"}, 404),
        ("route-if = equal:${qs[id]};7 return:404", "/?a=b&id=7", {}, 404),
        ("route-if = empty:${qs[id]}${what[x]}${wsgi.input} return:404", "/", {}, 404),
        ("route-if = ishigher:${time[unix]};1000000 return:404", "/", {}, 404),
        ("route-if = empty:${uwsgi[status]} return:404", "/", {}, 404),
        ("route-if-not = empty:${uwsgi[pid]}${uwsgi[uuid]} return:404", "/", {}, 404),
    ],
)
def test_who_is_answered(rules: str, uri: str, headers: dict[str, str], status: int) -> None:
    got = ask(rules, uri, **headers)
    assert got.status == status
    assert bool(got.environ) is (status == 200)
    assert (got.outcome.app == NO_APP) is (status != 200)


def test_an_answer_of_a_rule() -> None:
    got = ask("route = ^/x return:403", "/x")
    assert got.body == b"Forbidden\n"
    assert got.headers["Content-Type"] == "text/plain"
    assert not got.closed, "the connection can go on"
    assert ask("route = ^/x return:403", "/x", "HEAD").body == b""


@pytest.mark.parametrize(
    ("rules", "uri", "status", "location"),
    [
        ("route = ^/old/(.*) redirect:/new/$1", "/old/a/b", 302, "/new/a/b"),
        ("route = ^/old/(.*) redirect-permanent:/new/$1", "/old/", 301, "/new/"),
        ("route = ^/old/(.*) redirect-301:/new/$1?b=2", "/old/x", 301, "/new/x?b=2"),
        ("route-host = ^www\\.(.*) redirect-302:https://$1${REQUEST_URI}", "/a?b=%20", 302, "https://h.org/a?b=%20"),
        ("route-run = redirect:/n${PATH_INFO}", "/%0d%0aSet-Cookie:%20a=b%ff", 302, "/n/%0D%0ASet-Cookie:%20a=b%FF"),
        ("route = ^/x(y)?$ redirect:/[$1$2]", "/x", 302, "/[]"),
    ],
)
def test_redirects(rules: str, uri: str, status: int, location: str) -> None:
    got = ask(rules, uri, host="www.h.org")
    assert (got.status, got.headers["Location"]) == (status, location)


@pytest.mark.parametrize(
    ("rules", "uri", "script", "path", "query"),
    [
        ("route = ^/a/(.*) rewrite:/b/$1", "/a/x?q=1", "", "/b/x", "q=1"),
        ("route = ^/a/(.*) rewrite:/b/$1?r=$1", "/a/x?q=1", "", "/b/x", "r=x&q=1"),
        ("route = ^/a/(.*) rewrite:/b/$1?r=2", "/a/x", "", "/b/x", "r=2"),
        ("route = ^/a/(.*) rewrite:/b/c%20$1", "/a/x", "", "/b/c x", ""),
        ("route = ^/a rewrite-last:/b\nroute = ^/b return:404", "/a", "", "/b", ""),
        ("route = ^/a/(.*) rewrite:/mount/$1", "/a/x", "/mount", "/x", ""),
        ("route = ^/mount/(.*) setpathinfo:/$1", "/mount/x?q", "", "/x", "q"),
        ("route = ^/mount/ last:", "/mount/x", "/mount", "/x", ""),
        ("route-run = setscriptname:/outside", "/x", "/outside", "/x", ""),
        ("route-run = addvar:PATH_INFO=/y", "/x", "", "/y", ""),
    ],
)
def test_another_path(rules: str, uri: str, script: str, path: str, query: str) -> None:
    got = ask(rules, uri, app=_anything)
    assert got.status == 200
    assert got.body.decode() == f"{script}|{path}|{query}|{uri}"


def _anything(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return ["|".join(environ[n] for n in ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI")).encode()]


def test_what_else_the_application_sees() -> None:
    rules = (
        "route = ^/(x) addvar:SITE=one-$1\nroute-run = setmethod:PUT\nroute-run = seturi:/z\n"
        "route-run = setremoteaddr:10.0.0.9\nroute-run = setuser:ann"
    )
    got = ask(rules, "/x")
    names = ("SITE", "REQUEST_METHOD", "REQUEST_URI", "REMOTE_ADDR", "REMOTE_USER")
    assert [got.environ[name] for name in names] == ["one-x", "PUT", "/z", "10.0.0.9", "ann"]


def test_headers_come_and_go() -> None:
    rules = (
        "route = ^/x addheader:X-Path: ${PATH_INFO}\nroute-run = remheader:x-app\n"
        "response-route-status = ^200 addheader:X-Status: ${uwsgi[status]}\nresponse-route-run = delheader:X-Other\n"
        "response-route-status = ^404 addheader:X-Never: yes"
    )
    got = ask(rules, "/x%0d%0aInjected:%20yes")
    assert got.headers["X-Path"] == "/x  Injected: yes"
    assert got.headers["X-Status"] == "200"
    assert "X-App" not in got.headers
    assert "X-Never" not in got.headers
    assert ask("route-run = addheader:X-A: b\nroute = ^/x return:404", "/x").headers["X-A"] == "b"


def test_headers_for_all_answers() -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        headers = [("X-Tenant", "one"), ("x-powered-by", "it"), ("X-Kept", "k"), ("Content-Type", "text/plain")]
        start("200 OK", headers)
        return [b"x"]

    rules = (
        "rem-header = X-Powered-By\npull-header = x-tenant TENANT\ncollect-header = X-Kept KEPT\n"
        "response-route-if = equal:${TENANT};one addheader:X-Seen: ${TENANT}${KEPT}"
    )
    got = ask(rules, app=app)
    assert got.headers["X-Seen"] == "onek"
    assert got.headers["X-Kept"] == "k"
    assert not {"X-Powered-By", "x-powered-by", "X-Tenant"} & set(got.headers)
    assert got.router.logged("var.TENANT") == b"one"
    assert "X-App" not in ask("rem-header = x-app").headers


def test_a_second_start_gets_the_rules_again() -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        try:
            raise ValueError
        except ValueError as error:
            start("503 Busy", [("Content-Type", "text/plain")], (ValueError, error, None))
        return [b"busy"]

    rules = "response-route-status = ^(.)00 addheader:X-A: $1\nresponse-route-run = addheader:X-B: b"
    got = ask(rules, app=app)
    assert got.status == 503
    assert "X-A" not in got.headers
    assert got.headers["X-B"] == "b"


def test_a_rule_can_close_the_connection() -> None:
    assert ask("route-run = addheader:Connection: close").closed
    assert not ask("route-run = addheader:Connection: keep-alive").closed


def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "m2serve.route")
    got = ask(
        "route = ^/x log:saw ${PATH_INFO}\nroute-run = logvar:who=$0${REMOTE_ADDR}\nroute-run = addvar:A=b", "/x%0ay"
    )
    assert caplog.messages == [r"saw /x\ny"]
    assert got.router.logged("who") == got.environ["REMOTE_ADDR"].encode()
    assert got.router.logged("var.A") == b"b"
    assert got.router.logged("other") is None


@pytest.mark.parametrize("rules", ["route = ^/h donotlog:", "final-route-status = 200 donotlog:"])
def test_a_request_without_a_line(rules: str) -> None:
    outcome = ask(rules, "/h").outcome
    assert type(outcome) is Quiet
    assert type(outcome._replace(app=3)) is Quiet
    assert type(ask("route = ^/h donotlog:", "/other").outcome) is Outcome


def test_an_answer_that_goes_on_without_its_thread(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", "1000000")])
        return [b"x" * 500_000, b"y" * 500_000]

    caplog.set_level("INFO", "m2serve.route")
    text = f"{_SERVES}route-run = addheader:X-A: b\nfinal-route-status = 200 donotlog:\nfinal-route-run = log:over"
    settings = examine(["--ini", "a.ini"], {}, Outside(read_file=lambda path: text), "/").settings
    router = Router.of(settings, "/", StaticFiles(settings, "/"))
    channel, courier, outcomes = FakeChannel(credit=100_000, detachable=True), HeldBack(), []
    made = gateway(app, FakeClock(), courier, router=router)  # type: ignore[arg-type]
    pending = made.handle(make_request(), channel, "id-1")
    assert isinstance(pending, Pending)
    pending.then(outcomes.append)
    assert caplog.messages == []
    while not outcomes:
        channel.grant(100_000 - channel.credit)
        courier.round()
    assert caplog.messages == ["over"]
    assert type(outcomes[0]) is Quiet
    assert (outcomes[0].status, outcomes[0].body_bytes) == (200, 1_000_000)
    assert dict(read_answer(channel.sent, closed=channel.closed).headers)["X-A"] == "b"


def test_the_last_rules_see_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        raise ValueError("on purpose")

    caplog.set_level("INFO", "m2serve.route")
    got = ask("final-route-status = ^5 log:failed ${REQUEST_URI}", "/x", app=app)
    assert got.status == 500
    assert "failed /x" in caplog.messages


def test_static_files(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("a")
    (tmp_path / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", tmp_path / "files" / "link.txt")
    rules = f"route = ^/one$ static:{tmp_path}/files/a.txt\nroute = ^/f/(.*) static:{tmp_path}/files/$1"
    for uri in ("/one", "/f/a.txt"):
        got = ask(rules, uri)
        assert (got.status, got.body, got.headers["Content-Type"]) == (200, b"a", "text/plain")
        assert got.outcome.filed
    for uri in ("/f/../secret.txt", "/f/%2e%2e/secret.txt", "/f/link.txt", "/f/no", "/f/", "/f/%00"):
        got = ask(rules, uri)
        assert (got.status, got.outcome.filed) == (404, False)
    assert ask(rules, "/one", "POST").status == 405
    assert ask("route = ^/one static:files/a.txt", "/one", base=str(tmp_path)).body == b"a"
    assert ask("route = ^/(.*) static:$1", "/files/a.txt", base=str(tmp_path)).body == b"a"


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_one_user_and_a_password() -> None:
    rules = 'route = ^/admin basicauth:The "realm",ann:s3cret:x'
    got = ask(rules, "/admin", authorization=basic("ann:s3cret:x"))
    assert (got.environ["REMOTE_USER"], got.environ["AUTH_TYPE"]) == ("ann", "Basic")
    for wrong in ("ann:other", "ann", "bob:s3cret:x", ""):
        assert ask(rules, "/admin", authorization=basic(wrong)).status == 401
    for wrong in ("Bearer x", "Basic %%%", "Basic", "Basic \xe4"):
        assert ask(rules, "/admin", authorization=wrong).status == 401
    got = ask(rules, "/admin")
    assert (got.status, got.headers["WWW-Authenticate"]) == (401, 'Basic realm="The realm"')
    assert ask(rules, "/").status == 200


def test_users_of_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "htpasswd"
    file.write_text(
        "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nbob:$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.\n"
    )
    rules = f"route = ^/ basicauth:Realm,{file}"
    assert ask(rules, authorization=basic("ann:password")).status == 200
    assert ask(rules, authorization=basic("ann:other")).status == 401
    assert ask(rules, authorization=basic("bob:secret")).status == 200
    assert ask(rules, authorization=basic("bob:other")).status == 401
    assert ask(rules, authorization=basic("eve:password")).status == 401
    file.write_text("ann:*0\n")
    assert ask(rules, authorization=basic("ann:password")).status == 401
    file.unlink()
    assert ask(rules, authorization=basic("ann:password")).status == 401
    assert "cannot be read, nobody comes in" in caplog.text


def test_one_after_the_other(tmp_path: Path) -> None:
    rules = "route = ^/ basicauth-next:Realm,ann:a\nroute = ^/ basicauth:Realm,bob:b"
    assert ask(rules, authorization=basic("ann:a")).environ["REMOTE_USER"] == "ann"
    assert ask(rules, authorization=basic("bob:b")).environ["REMOTE_USER"] == "bob"
    assert ask(rules, authorization=basic("bob:a")).status == 401
