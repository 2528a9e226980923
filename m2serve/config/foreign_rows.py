"""The table of uWSGI options that are no settings of ours; an option of ours with such a name replaces its row."""

from __future__ import annotations

import re

from m2serve.config.foreign import Fate, Foreign
from m2serve.config.foreign_rare import RARE


def _missing(names: str, metavar: str, text: str, short: str = "") -> Foreign:
    return Foreign(Fate.MISSING, tuple(names.split()), metavar, text, short)


def _needless(names: str, metavar: str, text: str, short: str = "", value: str = "") -> Foreign:
    pattern = re.compile(value) if value else None
    return Foreign(Fate.NEEDLESS, tuple(names.split()), metavar, text, short, pattern)


def _elsewhere(names: str, metavar: str, text: str, short: str = "") -> Foreign:
    return Foreign(Fate.ELSEWHERE, tuple(names.split()), metavar, text, short)


def _family(names: str, metavar: str, text: str, fate: Fate = Fate.ELSEWHERE) -> Foreign:
    return Foreign(fate, tuple(names.split()), metavar, text, family=True)


_HTTP_ALWAYS = "HTTP/1.1 is served as its standard has it"
_NO_ROUTER = "workers speak HTTP themselves, without a router"
_OTHER_LANGUAGE = "m2serve serves Python applications only"
_ISOLATION = "use the service manager (systemd) or a container"
_KERNEL = "connections are accepted when they come; the kernel chooses the rest"

SOCKETS = (
    _missing("ssl-socket suwsgi-socket", "ADDRESS,CERT,KEY", "nothing listens there; TLS is had with https"),
    _missing(
        "fastcgi-nph-socket scgi-nph-socket raw-socket puwsgi-socket",
        "ADDRESS",
        "nothing listens there; socket, http, fastcgi-socket and scgi-socket do",
    ),
    _needless("http-auto-chunked http-chunked-input http-raw-body http-manage-expect", "", _HTTP_ALWAYS),
    _elsewhere("http-auto-gzip", "", "answers are not compressed; a web server in front can do it"),
    _elsewhere("http-websockets", "", "WebSockets are not served"),
    _needless("http-connect-timeout", "SECONDS", _NO_ROUTER),
    _needless("http-processes http-workers http-modifier1 http-modifier2", "N", _NO_ROUTER),
    _elsewhere("http-buffer-size", "BYTES", "buffer-size is for the heads of all requests"),
    _elsewhere("http-to", "ADDRESS", "requests go to the application that is served here"),
    _needless("tcp-fast-open", "", _KERNEL),
    _needless("post-buffering-bufsize", "BYTES", "bodies are read in pieces of a size of our own"),
)

PROCESSES = (
    _needless("drop-after-init", "", "the user changes when all is made that root has to make"),
    _needless("reload-os-env", "", "nothing of ours changes the environment beside os.environ"),
    _needless("forkbomb-delay", "SECONDS", "workers that die early are started again ever more slowly"),
    _needless("check-interval master-cycle", "SECONDS", "the master wakes when something happens"),
    _needless("py-call-osafterfork py-call-uwsgi-fork-hooks", "", "Python's hooks after a fork always run"),
    _needless("close-on-exec close-on-exec2", "", "no program that the application starts inherits our sockets"),
    _needless("skip-atexit skip-atexit-teardown", "", "workers always run the application's exit functions"),
    _needless("reaper", "", "the master reaps its children"),
)

APPLICATION = (
    _needless("binary-path", "PATH", "m2serve loads no plugins of uWSGI's"),
    _elsewhere("early-envdir", "DIR", "envdir sets the same variables; $(NAME) in a file does not see them"),
    _elsewhere("pecan eval", "TEXT", "write it into the Python file that wsgi-file names"),
    _elsewhere("no-site", "", "start m2serve with python -S -m m2serve"),
    _elsewhere("gevent async ugreen greenlet eventlet asyncio tornado", "N", "requests run in threads; set threads"),
    _elsewhere("gevent-monkey-patch gevent-early-monkey-patch", "", "requests run in threads; set threads"),
    _elsewhere("loop", "NAME", "requests run in threads; set threads"),
    _elsewhere("vhost vhosthost", "", "Mongrel2 chooses by host; run one m2serve for each application"),
    _needless("check-static-docroot", "", "Mongrel2 names no document root; check-static names one"),
    _needless(
        "offload-threads", "N", "answers wait for slow clients without a thread (response-buffer, response-spool)"
    ),
    _needless("disable-write-exception ignore-sigpipe ignore-write-errors", "", "a client that leaves is no error"),
    _needless("write-errors-tolerance write-errors-exception-only", "N", "a client that leaves is no error"),
)

LOGGING = (
    _needless("rsyslog-packet-size", "BYTES", "lines are sent as they are"),
    _needless("log-master log-master-stream log-master-req-stream threaded-logger", "", "all processes share one log"),
    _needless("log-master-bufsize log-master-req-bufsize", "BYTES", "lines are not cut"),
    _missing("enable-metrics", "", "the statistics are those of stats"),
    _needless("alarm-cheap", "", "alarms cost nothing that could be saved"),
)

SERVICES = (
    _family("hook exec", "ACTION", "it is not run", Fate.MISSING),
    _family("call", "FUNCTION", "call-pre-app and call-post-app call functions of Python, where it runs"),
    _needless("hook-as-gateway", "ACTION", "there are no gateways"),
    _missing("legion-attach-daemon", "COMMAND", "the program is not started; attach-daemon does it in every server"),
    _family("spooler", "DIR", "no task is run", Fate.MISSING),
    _family("emperor vassal vassals", "DIR", "an emperor of m2serve has no such setting", Fate.MISSING),
    _elsewhere(
        "zerg zerg-server zerg-pool", "ADDRESS", "start a second m2serve with the same zeromq: both get requests"
    ),
    _elsewhere("cluster", "ADDRESS", "every m2serve with the same zeromq gets its share of the requests"),
    _elsewhere("subscribe-to subscribe2", "ADDRESS", "every m2serve that connects to Mongrel2 gets requests"),
    _family(
        "fastrouter rawrouter sslrouter forkptyrouter http-subscription subscription legion",
        "VALUE",
        "Mongrel2 distributes requests to every m2serve that connects",
    ),
    _missing("queue sharedarea", "N", "the module uwsgi has no shared memory here"),
    _needless("locks", "N", "uwsgi.lock has 256 locks"),
    _elsewhere("cgroup unshare namespace namespaces cap pivot_root jail ns-net", "VALUE", _ISOLATION),
    _elsewhere("resolve", "VALUE", "m2serve does not do this"),
    _elsewhere("inject-before inject-after fallback-config", "FILE", "name the files in order on the command line"),
    _family(
        "php rack rb ruby rvm gem psgi perl plack lua jvm clojure cgi mono go gccgo v8 pypy symcall xslt",
        "VALUE",
        _OTHER_LANGUAGE,
    ),
    _family(
        "glusterfs gridfs rados webdav ldap rpc snmp rrdtool sqlite3 mongrel2-rpc",
        "VALUE",
        "m2serve has no such service",
    ),
    _needless("ksm never-swap auto-snapshot snmp", "N", "it concerns uWSGI's own memory"),
)

ROWS: tuple[Foreign, ...] = (*SOCKETS, *PROCESSES, *APPLICATION, *LOGGING, *SERVICES, *RARE)

MEANT = {
    "user": "uid",
    "group": "gid",
    "chown": "chown-socket",
    "chmod-sock": "chmod-socket",
    "pid": "pidfile",
    "logging": "disable-logging",
    "log": "logto",
    "logfile": "logto",
    "port": "http",
    "bind": "http",
    "app": "module",
    "timeout": "harakiri",
}
"""What people write who think of another word; likeness of letters does not find these."""
