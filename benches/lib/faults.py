"""The p99 of new connections while workers block or stop, against quiet slices."""

import random
import signal
import socket
import statistics
import time

from . import process
from .load import lost
from .paced import BLOCKED, OURS, STARVED, WORKERS, doubts, merge, mode_of, paced
from .servers import fetch
from .stats import RESTLESS, quartiles

GOALS = {"blocked1": 1.2, "blocked2": 1.3, "stopped1": 1.3}
ROW = "p99 of new connections, 50 ms of every 200 ms: 1 or 2 of 4 workers blocked, 1 stopped"


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
        request = f"GET /block/{int(BLOCKED * 1000)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for sock in some:
            sock.sendall(request.encode())
        for sock in some:
            sock.recv(4096)

    def close(self):
        for sock in self.of.values():
            sock.close()


def _stop(server):
    pid = random.choice(server.worker_pids())
    process.kill(pid, signal.SIGSTOP)
    time.sleep(BLOCKED)
    process.kill(pid, signal.SIGCONT)


def faults(bench):
    """blocked and stopped workers"""
    wanted = [bench.dtm(WORKERS, mode) for mode in bench.usable(*bench.scale(OURS, ()))]
    others = ["raw-reuseport", "nginx", "nginx-mutex", "nginx-reuseport"]
    for server in wanted + bench.peers(WORKERS, bench.scale([], others)):
        with bench.running(server) as alive:
            if alive:
                _faults(bench, server)
    bench.row = ROW
    for mode in OURS:
        for name, goal in GOALS.items():
            bench.refused(mode, f"p99.{name}.{mode}", goal=goal, peer="unblocked")


def _faults(bench, server):
    mode = mode_of(server)
    disturbances = {"stopped1": lambda: _stop(server)}
    handlers = None
    if not server.name.startswith("nginx"):  # it has no handler to block
        handlers = Handlers(server)
        disturbances["blocked1"] = lambda: handlers.block(1)
        if len(handlers.of) == WORKERS:
            disturbances["blocked2"] = lambda: handlers.block(2)
    slices = _interleaved(bench, server, disturbances)
    if handlers:
        handlers.close()
    quiet = [after for some in slices.values() for _, _, after in some]
    for name in GOALS:
        if name in slices:
            _report(bench, name, mode, slices[name], doubts(quiet))
        elif mode in OURS:
            why = f"200 connections reached {len(handlers.of)} workers"
            bench.row = ROW
            bench.add(f"p99.{name}.{mode}", None, goal=GOALS[name], peer="unblocked", why=why)
    curves = {name: merge(hurt for _, hurt, _ in some) for name, some in slices.items()}
    curves["unblocked"] = merge(quiet)
    bench.plots.setdefault("cdf", {})[mode] = curves


def _interleaved(bench, server, disturbances):
    """{name: [(quiet slice, disturbed one, quiet one)]}"""
    load, found = bench.load, {}
    seconds, rounds = bench.scale((1.2, 3), (2.0, 6)) if mode_of(server) in OURS else (1.5, 1)
    load("target", server.port, "http")
    paced(load, 0.5)
    before = paced(load, seconds)
    for number in range(rounds):
        bench.say(f"faults {server.name}: round {number + 1}/{rounds}")
        for name, disturb in disturbances.items():
            hurt, after = paced(load, seconds, disturb), paced(load, seconds)
            found.setdefault(name, []).append((before, hurt, after))
            before = after
    return found


def _steady(slices):
    """Those whose quiet neighbours agree, if they are enough: then there is no doubt."""
    def agree(before, after):
        return max(before["p99"], after["p99"]) <= (1 + RESTLESS) * min(before["p99"], after["p99"])

    good = [some for some in slices if agree(some[0], some[2])]
    return good if len(good) >= max(2, (len(slices) + 1) // 2) else None


def _report(bench, name, mode, slices, why):
    good = _steady(slices)
    if good and statistics.median(quiet["p99"] for quiet, _, _ in good) <= STARVED:
        slices, why = good, ""
    ratios = [2 * hurt["p99"] / (before["p99"] + after["p99"]) for before, hurt, after in slices]
    low, middle, high = quartiles(ratios)
    p99 = statistics.median(hurt["p99"] for _, hurt, _ in slices) / 1e6
    missing = sum(lost(hurt) for _, hurt, _ in slices)
    more = {"note": f"p99 {p99:.2f} ms" + (f", {missing} lost" if missing else "")}
    bench.row = "p99 of new connections, the same: the other modes and servers"
    if mode in OURS:
        bench.row = ROW
        more.update(goal=GOALS[name], why=why)
    bench.add(f"p99.{name}.{mode}", middle, low=low, high=high, peer="unblocked", **more)
