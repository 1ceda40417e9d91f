"""What is lost, and who waits, while a running service is changed."""

import time

from .bench import MODES
from .load import lost
from .servers import Refused

WORKERS, RATE = 4, 2000


class Background:
    """Load at a fixed rate around a piece of work."""

    def __init__(self, load, port, rate):
        self.load = load
        load("target", port, "http")
        load.begin("pace", rate, 600_000, 3000)

    def __enter__(self):
        time.sleep(0.2)
        return self

    def __exit__(self, kind, error, trace):
        time.sleep(0.2)
        self.load.stop()
        self.result = self.load.finish()


def _every(seconds, times, action):
    """The action so often, not sooner than one has ended; who failed, with the reason."""
    failures = []
    for _ in range(times):
        begin = time.monotonic()
        try:
            if action() not in (None, 0):
                failures.append("it answered no")
        except Refused as refusal:
            failures.append(str(refusal))
            break
        time.sleep(max(0, begin + seconds - time.monotonic()))
    return failures


def changes(bench):
    """reloads, resizes and mode switches under load"""
    for mode in bench.scale(("steer", "token"), MODES):
        bench.row = "lost while the service is changed, at 2,000 connections a second"
        if bench.refused(mode, f"lost.{mode}", goal=0, unit="count"):
            continue
        bench.say(f"changes: {mode}")
        with bench.running(bench.dtm(WORKERS, mode)) as alive:
            for server in alive:
                _changes(bench, server, mode)
    if not bench.quick:
        for server in bench.peers(WORKERS, ["nginx", "nginx-reuseport"]):
            bench.say(f"changes: {server.name}")
            with bench.running(server) as alive:
                if alive:
                    bench.row = "lost while the service is changed: the other servers"
                    _lost(bench, server, server.name, "reload", 20, 0.1, server.reload, None)


def _changes(bench, server, mode):
    steps = bench.scale(4, 20)
    _lost(bench, server, mode, "reload", bench.scale(15, 100), 0.1, server.reload)
    grown = []

    def resize():
        server.shrink() if grown else server.grow()
        grown.clear() if grown else grown.append(1)

    _lost(bench, server, mode, "resize", steps, 0.1, resize)
    others = [other for other in bench.usable() if other != mode] or ["auto"]
    turn = []

    def switch():
        """To another mode and back."""
        turn.append(1)
        target = mode if len(turn) % 2 == 0 else others[len(turn) // 2 % len(others)]
        return server.switch(target)

    _lost(bench, server, mode, "switch", steps, 0.2, switch)


def _lost(bench, server, mode, what, times, seconds, action, goal=0):
    with Background(bench.load, server.port, RATE) as background:
        failures = _every(seconds, times, action)
    result = background.result
    why = f"{len(failures)} of {times} failed: {failures[0]}" if failures else ""
    kinds = ", ".join(
        f"{result[kind]} {kind}" for kind in ("refused", "reset", "other", "stuck") if result[kind]
    )
    note = f"of {result['count']:,} in {times}; longest wait {result['max'] / 1e6:.1f} ms"
    bench.add(
        f"lost.{mode}.{what}",
        lost(result),
        "count",
        goal=goal,
        why="" if lost(result) else why,
        note=note + (f"; {kinds}" if kinds else ""),
    )


def quiet(bench):
    """reloads of a quiet service"""
    reloads = bench.scale(30, 150)
    bench.row = f"longest wait over {reloads} reloads, at 20 connections a second"
    still = _longest(bench, bench.raw(WORKERS), reloads)  # as long, for the longest counts
    for mode in ("steer", "token"):
        name = f"quiet.{mode}.max"
        if bench.refused(mode, name, unit="ms", goal=5):
            continue
        bench.say(f"quiet: {mode}")
        longest, failures = _longest(bench, bench.dtm(WORKERS, mode), reloads)
        why = f"{len(failures)} reloads failed: {failures[0]}" if failures else ""
        if longest > 5 and still[0] > 5:  # what the machine adds makes nothing shorter
            why = why or f"{still[0]:.1f} ms without any reload, too"
        bench.add(name, longest, "ms", goal=5, why=why)
    bench.row = f"longest wait over {reloads} reloads: for comparison"
    bench.add("quiet.raw.max", still[0], "ms", note="no reload at all: what the machine adds")
    if not bench.quick:
        for server in bench.peers(WORKERS, ["nginx"]):
            bench.say(f"quiet: {server.name}")
            bench.add(f"quiet.{server.name}.max", _longest(bench, server, 75)[0], "ms")


def _longest(bench, server, reloads):
    with bench.running(server) as alive:
        if not alive:
            return 0.0, [server.refusal]
        action = getattr(server, "reload", lambda: None)
        with Background(bench.load, server.port, 20) as background:
            failures = _every(0.09, reloads, action)
    result = background.result
    if lost(result):
        failures.append(f"{lost(result)} connections were lost")
    return result["max"] / 1e6, failures
