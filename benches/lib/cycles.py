"""Where a connection's time goes: cycles in the server's system calls, and between them."""

import os
import random
import struct

from . import slices

CALLS = ("wait", "accept", "recv", "send", "close", "ctl")  # of benches/probe/cycles.c
CLIENTS, SLICE = 64, 80  # connections at once, ms
ROW = "cycles for each connection, 64 at once, on the CPU of the load"
INSIDE = f"{ROW}: in the kernel, but for epoll_wait()"
BETWEEN = f"{ROW}: between its system calls, the server's own code and the C library's"


class Sums:
    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        sums = list(struct.iter_unpack("2Q", data))  # cycles, count
        pairs = [(one, other) for one in CALLS for other in CALLS]
        self.between = dict(zip(pairs, sums))
        self.inside = dict(zip(CALLS, sums[len(pairs) :]))

    def since(self, before):
        """{what: cycles for each connection} between calls, and in them."""
        clients = self.inside["accept"][1] - before.inside["accept"][1]

        def each(mine, theirs):
            return {what: (mine[what][0] - theirs[what][0]) / clients for what in mine}

        return each(self.between, before.between), each(self.inside, before.inside)


def cycles(bench):
    """cycles of a connection"""
    probe = bench.program("cycles.so")
    if not os.path.exists(probe):
        bench.say("cycles: on x86-64 only")
        return
    for workers in bench.scale((4,), (2, 4, 16)):
        raw = bench.raw(workers)
        raw.name = "raw"
        servers = [raw, *(bench.dtm(workers, mode) for mode in bench.usable("steer", "token"))]
        for server in servers:
            server.probe = {"LD_PRELOAD": probe, "BENCH_CYCLES": _sums_of(bench, server)}
        with bench.running(*servers) as alive, bench.layout("together"):
            _cycles(bench, workers, alive)


def _sums_of(bench, server):
    """Where the probe leaves its sums."""
    return os.path.join(bench.directory, f"cycles.{server.port}")


def _cycles(bench, workers, servers):
    for server in servers:
        slices.connect(bench.load, server, CLIENTS, SLICE)
    before = {server.name: Sums(_sums_of(bench, server)) for server in servers}
    for _ in range(bench.scale(10, 30)):
        for server in random.sample(servers, len(servers)):
            slices.connect(bench.load, server, CLIENTS, SLICE)
    for server in servers:
        between, inside = Sums(_sums_of(bench, server)).since(before[server.name])
        where = f"cycles.w{workers}.{server.name.removeprefix('dtm-')}"
        bench.row = BETWEEN
        largest = sorted(between.items(), key=lambda item: -item[1])[:6]
        note = ", ".join(f"{one} to {other} {value:.0f}" for (one, other), value in largest)
        bench.add(f"{where}.between", sum(between.values()), "cycles", note=note)
        bench.row = INSIDE
        inside.pop("wait")  # it sleeps there
        note = ", ".join(f"{name} {value:.0f}" for name, value in inside.items())
        bench.add(f"{where}.inside", sum(inside.values()), "cycles", note=note)
