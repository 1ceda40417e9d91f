"""Slices of load, and slices of several servers interleaved.

The machine's speed changes from one second to the next. So every server is alive
all the time, each gets a slice in turn, and the baseline has one before and after
each; only the ratio of neighbours counts.
"""

import random
import time

from .load import lost
from .stats import Paired, Slice, quartiles


def _measured(load, server, *words):
    """Carry out a command of the load generator, and see what it took of either."""
    begin, cpu, asking = time.monotonic(), server.cpu_ns(), load.cpu_ns()
    result = load(*words)
    asking, cpu, wall = load.cpu_ns() - asking, server.cpu_ns() - cpu, time.monotonic() - begin
    done = max(result["done"], 1)
    return Slice(
        rate=done / result["seconds"],
        cpu=cpu / done / 1000,
        asking=asking / done / 1000,
        busy=cpu / wall / 1e9,
        lost=lost(result),
    )


def keepalive(load, server, kind, clients, ms):
    """Closed loop on connections that stay."""
    load("target", server.port, kind)
    load("open", clients, 0)
    try:
        return _measured(load, server, "ask", ms)
    finally:
        load("close")
        time.sleep(0.01)  # for the server to notice


def connect(load, server, clients, ms, idle=0):
    """Closed loop of connect, request, close; `idle` others hold their connections."""
    load("target", server.port, "http")
    if idle:
        load("open", idle, 0)
        time.sleep(0.02)
    try:
        return _measured(load, server, "connect", clients, ms)
    finally:
        if idle:
            load("close")
            time.sleep(0.05)


def paired(bench, where, baseline, servers, measure, rounds, what="cpu"):
    """So many good rounds. Where the baseline before and after differs too much, the machine
    has changed meanwhile, and what was measured in between says nothing of a server: it is
    measured again, up to half as often as there are rounds, if the run has the time."""
    result = Paired(baseline.name)
    measure(baseline)  # warm up
    for server in servers:
        measure(server)
    left = {server.name: rounds for server in servers}
    before = measure(baseline)
    for number in range(rounds + (rounds + 1) // 2):
        order = [server for server in servers if left[server.name] > 0]
        if not order or number >= rounds and not bench.has_time():
            break
        bench.say(f"{where}: round {number + 1}/{rounds}")
        random.shuffle(order)
        for at in range(0, len(order), 2):
            some = [(server.name, measure(server)) for server in order[at : at + 2]]
            after = measure(baseline)
            steady = result.is_steady(before, after, what)
            for name, sample in some:
                result.add(number, name, before, sample, after, steady)
                left[name] -= steady
            result.add_baseline(before, after, steady)
            before = after
    result.settle(rounds, left)
    return result


LIMIT = "the limit: hand-written C"


def against_nginx(bench, figure, name, paired, what, goal, limit=None, **more):
    """It can be no better than hand-written C with the same schedule, which is what all were
    held against unless said otherwise."""
    limit = limit or paired.base
    ratios, best = (paired.against(server, "nginx", what) for server in (name, limit))
    more.update(limit=best, of_limit=paired.against(name, limit, what))
    bench.add_ratios(figure, ratios, paired.noise(what), goal=goal, peer="nginx", **more)


def limit_against_nginx(bench, figure, paired, what, **more):
    """That limit for itself."""
    ratios = paired.against(paired.base, "nginx", what)
    bench.add_ratios(figure, ratios, peer="nginx", note=LIMIT, **more)


def account(bench, where, paired):
    """What a set of slices says beside its ratios; CPU per request of the baseline."""
    bench.noise.append(paired.noise("cpu"))
    lost_in_all = sum(sample.lost for some in paired.slices.values() for sample in some)
    if lost_in_all:
        bench.say(f"{where}: {lost_in_all} requests lost")
    bench.row = "what the ratios stand on: CPU per request of the server that was held against"
    low, middle, high = quartiles([sample.cpu for sample in paired.baseline])
    bench.add(f"{where}.cpu", middle, "µs", low=low, high=high)
    return middle
