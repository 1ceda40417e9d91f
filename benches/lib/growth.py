"""What more workers cost: CPU per connection, with 2,000 idle connections open."""

import statistics

from . import slices

KINDS, GOAL, IDLE = ("steer", "token"), 1.25, 2000
# The same in hand-written C with nothing else in it, and how near to that it is to be.
LIMITS, NEAR = {"steer": "raw-reuseport", "token": "raw-token"}, 1.03
ROW = "CPU per connection, 64 workers against 2, with 2,000 idle connections open"


def growth(bench):
    """CPU per connection over the number of workers"""
    counts = bench.scale((2, 64), (2, 4, 8, 16, 32, 64))
    others = bench.scale([], ["raw-shared", "nginx"])
    for kind in [*LIMITS.values(), *others, *bench.usable(*KINDS)]:
        servers = [server for workers in counts for server in _of_kind(bench, kind, workers)]
        with bench.running(*servers) as alive:
            if alive and len(alive) == len(counts):
                _growth(bench, kind, alive)
    bench.row = ROW
    for mode in KINDS:
        bench.refused(mode, f"growth.{mode}.cpu", goal=GOAL, peer="2 workers")


def _of_kind(bench, kind, workers):
    made = [bench.dtm(workers, kind)] if kind in KINDS else bench.peers(workers, [kind])
    for server in made:
        server.name = f"{kind}.w{workers}"
    return made


def _growth(bench, kind, servers):
    where = f"growth.{kind}"
    with bench.layout("together"):
        paired = slices.paired(
            bench,
            where,
            servers[0],
            servers[1:],
            lambda server: slices.connect(bench.load, server, 8, 250, idle=IDLE),
            bench.scale(3, 6),
        )
    first = slices.account(bench, f"{where}.w2", paired)
    curve = [(2, first)]
    for server in servers[1:]:
        ratio = statistics.median(paired.ratios[server.name, "cpu"])
        curve.append((server.workers, first * ratio))
    bench.plots.setdefault("growth", {})[kind] = curve
    ratios, noise = paired.ratios[f"{kind}.w64", "cpu"], paired.noise("cpu")
    if kind not in KINDS:
        bench.row = f"{ROW}: others"
        return bench.add_ratios(f"{where}.cpu", ratios, peer="2 workers")
    bench.row = ROW
    bench.add_ratios(f"{where}.cpu", ratios, noise, peer="2 workers", goal=GOAL)
    limit = bench.plots["growth"].get(LIMITS[kind])
    if limit:
        bench.row = f"{ROW}: against the growth of the same schedule in hand-written C"
        of_limit = limit[-1][1] / limit[0][1]
        ratios = [ratio / of_limit for ratio in ratios]
        bench.add_ratios(f"{where}.cpu", ratios, noise, peer=LIMITS[kind], goal=NEAR)
