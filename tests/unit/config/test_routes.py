"""Rules of the internal routing as the files have them."""

from __future__ import annotations

import pytest

from m2serve.config.outside import Outside
from m2serve.config.report import as_ini
from m2serve.config.routes import Act, ErrorRule, FinalRule, RequestRule, ResponseRule, Rule, lost
from m2serve.config.settings import examine, load
from m2serve.errors import ConfigError

_SERVES = "[uwsgi]\nzeromq = tcp://127.0.0.1:1,tcp://127.0.0.1:2\nmodule = app\n"


def read(text: str) -> Outside:
    return Outside(read_file=lambda path: _SERVES + text)


def test_a_path_and_an_action() -> None:
    rule = RequestRule.parse_as("route", r"^/old/(.*) redirect-permanent:/new/$1")
    assert (rule.subject, str(rule.pattern)) == ("PATH_INFO", "^/old/(.*)")
    assert rule.act == Act("redirect-permanent", "/new/$1")
    assert str(rule) == r"^/old/(.*) redirect-permanent:/new/$1"


@pytest.mark.parametrize(
    ("key", "subject"),
    [
        ("route-host", "HTTP_HOST"),
        ("route-uri", "REQUEST_URI"),
        ("route-qs", "QUERY_STRING"),
        ("route-remote-addr", "REMOTE_ADDR"),
        ("route-user-agent", "HTTP_USER_AGENT"),
        ("route-remote-user", "REMOTE_USER"),
        ("route-referer", "HTTP_REFERER"),
    ],
)
def test_the_name_says_the_subject(key: str, subject: str) -> None:
    assert RequestRule.parse_as(key, "x last:").subject == subject


def test_answers_have_a_status_too() -> None:
    assert ResponseRule.parse_as("response-route-status", "^5 addheader:X-Failed: yes").subject == "status"
    assert FinalRule.parse_as("final-route-status", "200 donotlog:").subject == "status"
    assert FinalRule.parse_as("final-route", "/health donotlog").act == Act("donotlog", "")


def test_conditions_labels_and_none() -> None:
    rule = RequestRule.parse_as("route-if-not", "equal:${HTTP_X};a;b break:403 Forbidden")
    assert (rule.condition, rule.operands, rule.negated) == ("equal", ("${HTTP_X}", "a;b"), True)
    assert rule.act == Act("break", "403 Forbidden")
    assert RequestRule.parse_as("route-if", "exists:/tmp/${PATH_INFO} static:/tmp/x").operands == ("/tmp/${PATH_INFO}",)
    assert RequestRule.parse_as("route-label", "end").label == "end"
    assert RequestRule.parse_as("route-run", "addheader:X-A: b c").act == Act("addheader", "X-A: b c")


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("route", "", "expected REGEXP ACTION:ARGUMENT"),
        ("route", "^/x", "expected REGEXP ACTION:ARGUMENT"),
        ("route", "( last:", "expected a regular expression"),
        ("route", "^/x what", "with an action of continue"),
        ("route", "^/x redirect:", "expected redirect:URL"),
        ("route", "^/x return:forbidden", "expected a status"),
        ("route", "^/x break:100 Continue", "1xx is no answer"),
        ("route", "^/x addheader:no colon", "expected Name: value"),
        ("route", "^/x addheader:Content-Length: 3", "framed"),
        ("route", "^/x addvar:NAME", "expected addvar:NAME=VALUE"),
        ("route", "^/x addvar:wsgi.input=x", "not the server's own"),
        ("route", "^/x basicauth:Realm", "expected basicauth:REALM,USER:PASSWORD"),
        ("route", "^/x http:=0", "expected HOST:PORT or the path of a socket"),
        ("route", "^/x http:127.0.0.1:80,a b", "expected a host behind the comma"),
        ("route", "^/(.*) http:$1:80", "without [$]"),
        ("route", "^/x\0 last:", "no NUL"),
        ("route-if", "likes:a;b last:", "expected a condition: exists"),
        ("route-if", "equal:a last:", "expected equal:TEXT;TEXT"),
        ("route-if", "regexp:a;( last:", "expected a regular expression"),
        ("route-if", "equal:a;b", "expected CONDITION ACTION:ARGUMENT"),
        ("route-label", "two words", "expected one word"),
    ],
)
def test_mistakes(key: str, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        RequestRule.parse_as(key, text)


def test_actions_of_one_moment_are_none_of_another() -> None:
    assert ErrorRule.parse_as("error-route-status", "404 redirect:/y").act == Act("redirect", "/y")
    rule = ErrorRule.parse_as("error-route-status", "404 http:127.0.0.1:80")
    assert (rule.subject, rule.act) == ("status", Act("http", "127.0.0.1:80", done_here=False))
    rule = ResponseRule.parse_as("response-route", "^/x redirect:/y")
    assert rule.act == Act("redirect", "/y", done_here=False)


def test_mistakes_name_their_place() -> None:
    examined = examine(["--ini", "app.ini"], {}, read("route = ^/x return:no\nroute-host = ( last:\n"), "/")
    assert [problem.split(": expected")[0] for problem in examined.problems] == [
        "app.ini:4: route = ^/x return:no",
        "app.ini:5: route-host = ( last:",
    ]


def test_an_unknown_action_is_a_mistake_under_strict() -> None:
    text = "route = ^/api uwsgi:h:90,0,0\n"
    examined = examine(["--ini", "app.ini"], {}, read(text), "/")
    assert examined.problems == ()
    assert any("there is no action 'uwsgi' here: the rule does nothing" in one for one in examined.settings.warnings)
    examined = examine(["--ini", "app.ini"], {}, read(f"strict = true\n{text}"), "/")
    assert any("app.ini:5: route: route = ^/api uwsgi:h:90,0,0: there is no" in one for one in examined.problems)


def test_rules_of_all_names_keep_their_order() -> None:
    text = "route-host = ^www continue:\nroute = ^/x goto:end\nroute-run = log:100%%\nroute-label = end\n"
    examined = examine(["--ini", "app.ini"], {}, read(text), "/")
    assert [rule.key for rule in examined.settings.route] == ["route-host", "route", "route-run", "route-label"]
    printed = as_ini(examined.settings)
    assert text in printed
    again = examine(["--ini", "app.ini"], {}, Outside(read_file=lambda path: printed), "/")
    assert again.settings.route == examined.settings.route


def test_the_command_line_keeps_the_names_too() -> None:
    options = ["--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2", "--module", "a", "--route-host", "^www last:"]
    assert load(options, {}).route[0].subject == "HTTP_HOST"


def test_a_goto_finds_its_label_further_down() -> None:
    def rules(*pairs: tuple[str, str]) -> list[Rule]:
        return [RequestRule.parse_as(key, text) for key, text in pairs]

    assert list(lost(rules(("route", "^/x goto:end"), ("route-label", "end")))) == []
    assert list(lost(rules(("route-label", "end"), ("route", "^/x goto:end")))) == ["end"]
    examined = examine(["--ini", "app.ini"], {}, read("route = ^/x goto:end\n"), "/")
    assert examined.problems == ("app.ini:4: route: goto:end: expected a label of that name further down",)


@pytest.mark.parametrize(
    "text", ["pull-header = X-A", "collect-header = X: V", "pull-header = X V.W", "rem-header = X Y"]
)
def test_headers_that_are_none(text: str) -> None:
    examined = examine(["--ini", "app.ini"], {}, read(f"{text}\n"), "/")
    assert len(examined.problems) == 1
    assert examined.problems[0].startswith(f"app.ini:4: {text}: expected ")
