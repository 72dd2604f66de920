"""The one place that catches everything: at most a few lines in syslog, exit 0, in bounded time."""

import _signal  # type: ignore[import-not-found]  # `signal` itself costs 3 ms for its enums
import os

from slurm_guard.hooks.environ import Environ
from slurm_guard.hooks.netstate import ask_apart
from slurm_guard.hooks.settings import Settings, parse_settings
from slurm_guard.hooks.trace import send_trace

TIMEOUT_S = 2.0  # slurmd complains to the user after 8 s; a job start may wait for this on every node
HARD_STOP_S = 0.3  # after the time-out, for the trace and for clean-up that hangs as well
_MAX_TRACES = 6  # lines one hook may leave; a broken disk gives three


class TimedOutError(BaseException):
    """The hook's time is over. No Exception, so that nothing on the way can take it for its own."""


class _Alarm:
    """First stroke: raise wherever we are. Second stroke: leave."""

    def __init__(self) -> None:
        self._rung = False

    def __call__(self, number: int, frame: object) -> None:
        if self._rung:
            os._exit(0)
        self._rung = True
        raise TimedOutError(f"gave up after {TIMEOUT_S:g} s")


class Tracer:
    """Sends a bounded number of lines."""

    def __init__(self, tag: str, address: str) -> None:
        self._tag = tag
        self._address = address
        self._left = _MAX_TRACES

    def __call__(self, text: str) -> None:
        if self._left > 0:
            self._left -= 1
            send_trace(self._tag, text, self._address)


def run(args: list[str]) -> None:
    """Run one hook: args are `prolog` or `epilog` and the settings. Ends the process with status 0."""
    tracer = Tracer("hook", Settings().syslog)
    try:
        _signal.signal(_signal.SIGALRM, _Alarm())
        _signal.setitimer(_signal.ITIMER_REAL, TIMEOUT_S, HARD_STOP_S)
        os.umask(0)  # modes are given in full; the caller's mask is not ours
        hook = args[0] if args else ""
        settings = parse_settings(args[1:])
        tracer = Tracer(hook, settings.syslog)
        _run_hook(hook, settings, tracer)
    except BaseException as error:  # noqa: BLE001  law 1: a hook never fails
        _trace_last(tracer, error)
    finally:
        os._exit(0)  # no interpreter shutdown: it costs 2 ms and could raise


def _trace_last(tracer: Tracer, error: BaseException) -> None:
    try:
        tracer(f"{type(error).__name__}: {error}")
    except BaseException:  # noqa: BLE001  the alarm's stroke may fall in here
        os._exit(0)


def _run_hook(hook: str, settings: Settings, tracer: Tracer) -> None:
    """The hook's work, unless the site switched it off."""
    if hook not in ("prolog", "epilog"):
        raise ValueError(f"unknown hook {hook[:80]!r}")
    switch = find_switch(settings.disabled)
    if switch is not None:
        tracer(f"switched off by {switch}")
        return
    environ = Environ(dict(os.environb))
    child = ask_apart()  # before the imports below, and done by their end
    if hook == "epilog":
        from slurm_guard.hooks.end import is_alive, write_end

        write_end(settings, environ, tracer, child)
        if not is_alive(f"{settings.run_dir}/{environ.identity().node}"):
            tracer("no sampler runs on this node: the run stays without a seal until one does")
        return
    from slurm_guard.hooks.end import is_alive
    from slurm_guard.hooks.launch import ensure_sampler, find_silence
    from slurm_guard.hooks.ticket import write_ticket

    who = write_ticket(settings, environ, tracer, child)
    problem = ensure_sampler(settings, who.node) if settings.start_sampler == "yes" else None
    folder = f"{settings.run_dir}/{who.node}"
    if settings.start_sampler != "yes" and not is_alive(folder):
        problem = "no sampler runs on this node and START_SAMPLER is not yes: this run is not observed"
    for word in (problem, find_silence(folder)):
        if word is not None:
            tracer(word)


def find_switch(disabled: str) -> str | None:
    """The first of the files, separated by `:`, that exists; null: none does."""
    return next((path for path in disabled.split(":") if path and os.path.lexists(path)), None)
