"""New connections while workers block, stop or die: their p99 against quiet times."""

import random
import signal
import socket
import statistics
import time

from . import process
from .figure import NOISE_LIMIT
from .load import lost
from .servers import fetch
from .stats import quartiles, spread

WORKERS, RATE, PERIOD, BLOCKED = 4, 2000, 0.2, 0.05


class Handlers:
    """A connection to each worker, to keep its handler busy with."""

    def __init__(self, server):
        self.of, spare = {}, []
        for _ in range(200):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            if self.of.setdefault(fetch(sock, "/who"), sock) is not sock:
                spare.append(sock)
            if len(self.of) == WORKERS:
                break
        for sock in spare:
            sock.close()

    def block(self, number):
        some = list(self.of.values())[:number]
        for sock in some:
            ms = int(BLOCKED * 1000)
            sock.sendall(f"GET /block/{ms} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for sock in some:
            sock.recv(4096)

    def close(self):
        for sock in self.of.values():
            sock.close()


def _stop(server, number):
    some = server.worker_pids()[:number]
    for pid in some:
        process.kill(pid, signal.SIGSTOP)
    time.sleep(BLOCKED)
    for pid in some:
        process.kill(pid, signal.SIGCONT)


def _slice(load, seconds, disturb=None):
    """A slice of load at a fixed rate; every 200 ms something happens for 50 ms."""
    load.begin("pace", RATE, int(seconds * 1000), 2000)
    end, turn = time.monotonic() + seconds - PERIOD, time.monotonic() + PERIOD / 2
    while disturb and turn < end:
        time.sleep(max(0, turn - time.monotonic()))
        disturb()
        turn += PERIOD
    return load.finish()


def faults(bench):
    """blocked and stopped workers"""
    modes = bench.usable(*(("steer", "token") if bench.quick else ()))
    wanted = [bench.dtm(WORKERS, mode) for mode in modes]
    if not bench.quick:
        wanted += bench.peers(
            WORKERS, ["raw-reuseport", "nginx", "nginx-mutex", "nginx-reuseport", "haproxy"]
        )
    for server in wanted:
        with bench.running(server) as alive:
            if alive:
                _faults(bench, server)
    for mode in ("steer", "token"):
        if bench.modes()[mode] is not None:
            for name, goal, _ in KINDS:
                bench.row = ROW
                bench.refuse(f"p99.{name}.{mode}", mode, goal=goal, peer="unblocked")


KINDS = (("blocked1", 1.2, 1), ("blocked2", 1.3, 2), ("stopped1", 1.3, 0))
ROW = "p99 of new connections, 50 ms of every 200 ms: 1 or 2 of 4 workers blocked, 1 stopped"


def _faults(bench, server):
    load, mode = bench.load, server.name.removeprefix("dtm-")
    ours = mode in ("steer", "token")
    seconds, rounds = bench.scale((1.5, 3), (2.0, 7)) if ours else (1.5, 2)
    handlers = Handlers(server) if not server.name.startswith(("nginx", "haproxy")) else None
    load("target", server.port, "http")
    _slice(load, 0.5)
    ratios, drift, histograms = {}, [], {}
    for number in range(rounds):
        bench.say(f"faults {server.name}: round {number + 1}/{rounds}")
        before = _slice(load, seconds)
        for name, _, blocked in KINDS:
            if blocked and not handlers:
                continue
            if blocked and len(handlers.of) < WORKERS and blocked > 1:
                continue  # one worker takes everything: there is no second to block
            hurt = _slice(
                load, seconds, (lambda: handlers.block(blocked)) if blocked else lambda: _stop(server, 1)
            )
            after = _slice(load, seconds)
            quiet = (before["p99"] + after["p99"]) / 2
            ratios.setdefault(name, []).append(hurt["p99"] / quiet)
            drift.append(after["p99"] / before["p99"])
            histograms.setdefault("unblocked", []).append(after)
            histograms.setdefault(name, []).append(hurt)
            before = after
    if handlers:
        handlers.close()
    for name, goal, _ in KINDS:
        if name in ratios:
            _report(bench, f"p99.{name}.{mode}", ratios[name], spread(drift), goal, ours, histograms[name])
    bench.plots.setdefault("cdf", {})[mode] = {
        name: merge(some) for name, some in histograms.items()
    }


def _report(bench, name, ratios, noise, goal, ours, slices):
    low, middle, high = quartiles(ratios)
    bench.row = ROW if ours else "p99 of new connections, the same: the other modes and servers"
    p99 = statistics.median(part["p99"] for part in slices) / 1e6
    missing = sum(map(lost, slices))
    note = f"p99 {p99:.2f} ms" + (f", {missing} lost" if missing else "")
    more = {}
    if ours and noise > 3 * NOISE_LIMIT:
        more["why"] = f"p99 in quiet slices itself varied by {noise:.0%}"
    bench.add(
        name, middle, low=low, high=high, goal=goal if ours else None, peer="unblocked", note=note, **more
    )


def merge(histograms):
    """One distribution of several: [[ns, count]]."""
    counts = {}
    for histogram in histograms:
        for value, count in histogram["buckets"]:
            counts[value] = counts.get(value, 0) + count
    return sorted(counts.items())


def kill(bench):
    """kill -9 of workers"""
    modes = bench.usable(*(("steer", "token") if bench.quick else ()))
    # Who is killed here dies young for the twentieth time: no back-off for that.
    quick_again = {"respawn_delay": "1ms", "respawn_delay_max": "1ms"}
    wanted = [bench.dtm(WORKERS, mode, **quick_again) for mode in modes]
    if not bench.quick:
        wanted += bench.peers(WORKERS, ["nginx", "nginx-mutex", "nginx-reuseport"])
    for server in wanted:
        bench.say(f"kill: {server.name}")
        with bench.running(server) as alive:
            if alive:
                _kill(bench, server)
    for mode in ("steer", "token"):
        if bench.modes()[mode] is not None:
            bench.row = KILL_ROW
            bench.refuse(f"kill.{mode}.stuck", mode, goal=0)
            bench.refuse(f"kill.{mode}.p99", mode, goal=2, peer="before")


KILL_ROW = "kill -9 of any worker, 4 a second, at 2,000 connections a second"


def _kill(bench, server):
    load, mode = bench.load, server.name.removeprefix("dtm-")
    ours = mode in bench.modes()
    seconds, rounds = bench.scale((2.0, 2), (3.0, 3))
    load("target", server.port, "http")
    _slice(load, 0.5)
    killed = [0]

    def strike():
        pids = server.worker_pids()
        if pids:
            process.kill(random.choice(pids), signal.SIGKILL)
            killed[0] += 1
        time.sleep(BLOCKED)

    results = [(_slice(load, seconds), _slice(load, seconds, strike)) for _ in range(rounds)]
    ratios = [hurt["p99"] / before["p99"] for before, hurt in results]
    stuck = sum(hurt["stuck"] for _, hurt in results)
    reset = sum(lost(hurt) for _, hurt in results) - stuck
    bench.row = KILL_ROW if ours else "kill -9 of any worker: the other servers"
    bench.add(
        f"kill.{mode}.stuck",
        stuck,
        "count",
        goal=0 if ours else None,
        note=f"{killed[0]} killed; {reset} requests ended with the worker that had them",
    )
    bench.add_ratios(f"kill.{mode}.p99", ratios, goal=2 if ours else None, peer="before")
