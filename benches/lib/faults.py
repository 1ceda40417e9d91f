"""The p99 of new connections while workers block or stop, against quiet slices."""

import random
import signal
import socket
import time

from . import process
from .paced import BLOCKED, OURS, WORKERS, add_p99, interleaved, merge, mode_of
from .servers import fetch

GOALS = {"blocked1": 1.2, "blocked2": 1.3, "stopped1": 1.3}
ROW = "p99 of new connections, 50 ms of every 200 ms: 1 or 2 of 4 workers blocked, 1 stopped"
OTHERS = "p99 of new connections, the same: the other modes and servers"


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
    seconds, rounds = bench.scale((1.2, 3), (2.0, 6)) if mode in OURS else (1.5, 1)
    bench.load("target", server.port, "http")
    slices = interleaved(bench, f"faults {server.name}", seconds, rounds, disturbances)
    if handlers:
        handlers.close()
    quiet = [after for some in slices.values() for _, _, after in some]
    bench.row = ROW if mode in OURS else OTHERS
    for name, goal in GOALS.items():
        figure = f"p99.{name}.{mode}"
        if name in slices:
            goal = goal if mode in OURS else None
            add_p99(bench, figure, slices[name], quiet, "unblocked", goal)
        elif mode in OURS:
            why = f"200 connections reached {len(handlers.of)} workers"
            bench.add(figure, None, goal=goal, peer="unblocked", why=why)
    curves = {name: merge(hurt for _, hurt, _ in some) for name, some in slices.items()}
    curves["unblocked"] = merge(quiet)
    bench.plots.setdefault("cdf", {})[mode] = curves
