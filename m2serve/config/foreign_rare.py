"""uWSGI's options that files hardly ever have: known so that nobody takes them for spelling mistakes."""

from __future__ import annotations

from m2serve.config.foreign import Fate, Foreign

_INTERNAL = "it concerns the inside of uWSGI"
_NOT_DONE = "m2serve does not do this"
_ASK = "ask m2serve --help, --version and --check"
_ISOLATION = "use the service manager (systemd) or a container"


def _row(fate: Fate, text: str, metavar: str, names: str) -> Foreign:
    return Foreign(fate, tuple(names.split()), metavar, text, rare=True)


def _family(fate: Fate, text: str, names: str) -> Foreign:
    return Foreign(fate, tuple(names.split()), "VALUE", text, family=True, rare=True)


_INTERNALS = """
    backtrace-depth lock-engine ftok persistent-ipcsem pcre-jit max-vars max-apps signal-bufsize signals-bufsize
    response-headers-limit body-read-warning alarm-msg-size cache-udp-server cache-udp-node clock
    mem-collector-freq queue-blocksize queue-store queue-store-sync wsgi-env-behavior wsgi-env-behaviour
    allowed-modifiers remap-modifier ignore-script-name http-socket-modifier1 http-socket-modifier2
    https-socket-modifier1 https-socket-modifier2 fastcgi-modifier1 fastcgi-modifier2 scgi-modifier1 scgi-modifier2
    raw-modifier1 raw-modifier2 udp multicast multicast-ttl multicast-loop upload-progress
"""
_INTERNAL_FLAGS = """
    skip-zero fd-safe safe-fd use-abort no-threads-wait start_response-nodelay harakiri-no-arh no-harakiri-arh
    no-harakiri-after-req-hook disable-sendfile autoload no-fd-passing force-gateway early-emperor command-mode
    abstract-socket
"""
_SOCKETS = """
    socket-rcvbuf socket-sndbuf socket-send-timeout socket-write-timeout tcp-fastopen tcp-fastopen-client
    tcp-fast-open-client
"""
_QUESTIONS = """
    cflags dot-h config-py plugin-list plugins-list alarm-list alarms-list clock-list clocks-list cheaper-list
    cheaper-algo-list cheaper-algos-list imperial-monitor-list imperial-monitors-list logger-list loggers-list loop-list
    loops-list router-list routers-list dump-options usage
"""
_TOOLS = """
    get extract print-sym print-symbol build-plugin binary-append-data connect-and-read check-mount check-mountpoint
    mount-check mountpoint-check file-write test mode pyrun py-sharedarea dlopen binsh signal st
    check-cache post-pymodule-alias heartbeat
"""
_ADDITIONS = """
    immediate-uid immediate-gid limit-nproc force-cwd privileged-binary-patch unprivileged-binary-patch
    privileged-binary-patch-arg unprivileged-binary-patch-arg prio
"""
_ALARMS = """
    metric-alarm alarm-metric
"""
_REQUESTS = """
    error-page-403 error-page-404 error-page-500 after-request-hook
    after-request-call exception-handler enable-proxy-protocol log-prefix
"""
_STATIC_CACHE = "static-cache-paths static-cache-paths-name"
_STATIC_MODE = "file-serve-mode fileserve-mode"
_RELOADS = """
    reload-on-fd brutal-reload-on-fd fs-signal touch-signal
    touch-spoolers-reload propagate-touch
"""
_TIMERS = "signal-timer timer signal-rbtimer rbtimer cron-legion unique-cron-legion unique-legion-cron"
_REFORKS = "refork re-fork refork-as-root re-fork-as-root refork-post-jail re-fork-post-jail no-server shutdown-sockets"
_SUBSCRIPTIONS = """
    subscribe subscribe-freq subscribe-with-modifier1 start-unsubscribed unsubscribe-on-graceful-reload weight
    auto-weight
"""
_PYTHONS = "py-executable py-sys-executable py-program-name py-programname python-version"

RARE = (
    _row(Fate.NEEDLESS, _INTERNAL, "VALUE", _INTERNALS),
    _row(Fate.NEEDLESS, _INTERNAL, "", _INTERNAL_FLAGS),
    _row(Fate.NEEDLESS, "the kernel chooses the sizes of its buffers", "N", _SOCKETS),
    _row(Fate.NEEDLESS, "answers wait for slow clients without a thread", "N", "offload-thread"),
    _row(Fate.ELSEWHERE, _ASK, "", _QUESTIONS),
    _row(Fate.ELSEWHERE, "XML is not read; 'uwsgi --xml FILE --show-config' prints it as ini", "FILE", "xml xmlconfig"),
    _row(Fate.ELSEWHERE, _NOT_DONE, "VALUE", _TOOLS),
    _row(Fate.ELSEWHERE, _NOT_DONE, "", _REFORKS),
    _row(Fate.ELSEWHERE, "start m2serve with the Python that you want", "VALUE", _PYTHONS),
    _row(Fate.ELSEWHERE, "the application speaks WSGI", "VALUE", "web3 pump wsgi-lite python-raw"),
    _row(Fate.ELSEWHERE, "every m2serve that connects to Mongrel2 gets requests", "VALUE", _SUBSCRIPTIONS),
    _row(Fate.ELSEWHERE, "Mongrel2 chooses by host; run one m2serve for each application", "", "vhost-host"),
    _row(Fate.ELSEWHERE, _ISOLATION, "VALUE", "jailed ns pivot-root unshare2"),
    _row(Fate.MISSING, "it is not run", "VALUE", "worker-exec worker-exec2 profiler python-worker-override py python"),
    _row(
        Fate.MISSING,
        "the application is taken as PEP 3333 has it",
        "",
        "wsgi-accept-buffer wsgi-accept-buffers wsgi-strict",
    ),
    _row(Fate.MISSING, "processes stay as they are started", "VALUE", _ADDITIONS),
    _row(Fate.MISSING, "nobody is told; watch the log", "ALARM", _ALARMS),
    _row(Fate.MISSING, "answers leave as the application made them", "VALUE", _REQUESTS),
    _row(
        Fate.NEEDLESS, "paths of files are looked up anew each time, so that changes count at once", "N", _STATIC_CACHE
    ),
    _row(Fate.ELSEWHERE, "files are sent from here, at their client's pace", "MODE", _STATIC_MODE),
    _row(Fate.MISSING, "only touch-reload and HUP reload", "VALUE", _RELOADS),
    _row(Fate.MISSING, "nothing is run at any time", "VALUE", _TIMERS),
    _row(Fate.MISSING, "nothing listens there", "ADDRESS", "undeferred-shared-socket notify-socket"),
    _row(Fate.MISSING, "every option may stand everywhere", "NAMES", "blacklist whitelist"),
    _row(Fate.MISSING, "every option may stand everywhere", "", "end-blacklist end-whitelist"),
    _family(Fate.MISSING, "a cache begins empty, and ends with its server", "cache add-cache load-file-in-cache"),
    _family(Fate.MISSING, "the numbers are those of the statistics (stats)", "metric metrics stats carbon"),
    _family(Fate.MISSING, "m2serve does not wait for anything at its start", "wait wait-for"),
    _family(Fate.MISSING, "WebSockets are not served", "websocket websockets"),
    _family(Fate.ELSEWHERE, "TLS is had with https, and Python decides what is safe", "ssl sni"),
    _family(Fate.ELSEWHERE, _ISOLATION, "namespace setns cgroup umount mount"),
    _family(Fate.ELSEWHERE, _NOT_DONE, "subscriptions zerg pyshell"),
)
