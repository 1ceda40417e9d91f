"""What more workers cost: CPU per connection, with 2,000 idle connections open."""

import statistics

from . import slices
from .stats import over

GOAL, IDLE = 1.25, 2000
# The same schedule in hand-written C with nothing else in it. It grows in the same rounds.
LIMITS = {"steer": "raw-reuseport", "token": "raw-token"}
ROW = "CPU per connection, 64 workers against 2, with 2,000 idle connections open"


def growth(bench):
    """CPU per connection over the number of workers"""
    modes = bench.usable(*LIMITS)
    for mode, limit in LIMITS.items():
        _side_by_side(bench, limit, *([mode] if mode in modes else []))
    for kind in bench.scale([], ["raw-shared", "nginx"]):
        _side_by_side(bench, kind)
    bench.row = ROW
    for mode in LIMITS:
        bench.refused(mode, f"growth.{mode}.cpu", goal=GOAL, peer="2 workers")


def _side_by_side(bench, *kinds):
    counts = bench.scale((2, 64), (2, 4, 8, 16, 32, 64))
    wanted = [_of_kind(bench, kind, workers) for kind in kinds for workers in counts]
    servers = [server for made in wanted for server in made]
    with bench.running(*servers) as alive:
        if len(alive) == len(wanted):
            _growth(bench, kinds, alive)


def _of_kind(bench, kind, workers):
    made = [bench.dtm(workers, kind)] if kind in LIMITS else bench.peers(workers, [kind])
    for server in made:
        server.name = f"{kind}.w{workers}"
    return made


def _growth(bench, kinds, servers):
    """All are held against the first kind with 2 workers."""
    with bench.layout("together"):
        paired = slices.paired(
            bench,
            f"growth.{kinds[-1]}",
            servers[0],
            servers[1:],
            lambda server: slices.connect(bench.load, server, 8, 250, idle=IDLE),
            bench.scale(3, 6),
        )
    first = slices.account(bench, f"growth.{kinds[0]}.w2", paired)
    for kind in kinds:
        curve = [(2, first)] if kind == kinds[0] else []
        for server in servers[1:]:
            if server.name.startswith(f"{kind}."):
                ratio = statistics.median(paired.ratios[server.name, "cpu"].values())
                curve.append((server.workers, first * ratio))
        bench.plots.setdefault("growth", {})[kind] = curve
        _report(bench, kind, paired)


def _report(bench, kind, paired):
    def grown(kind):
        return paired.against(f"{kind}.w64", f"{kind}.w2", "cpu")

    bench.row, noise, more = f"{ROW}: others", 0.0, {}
    if kind in LIMITS:
        bench.row, noise = ROW, paired.noise("cpu")
        limit = grown(LIMITS[kind])
        more = {"goal": GOAL, "limit": limit, "of_limit": over(grown(kind), limit)}
    bench.add_ratios(f"growth.{kind}.cpu", grown(kind), noise, peer="2 workers", **more)
