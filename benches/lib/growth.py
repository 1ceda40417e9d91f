"""What more workers cost: CPU per connection, with 2,000 idle connections open."""

import statistics

from . import slices

KINDS, GOAL, IDLE = ("steer", "token"), 1.25, 2000
ROW = "CPU per connection, 64 workers against 2, with 2,000 idle connections open"


def growth(bench):
    """CPU per connection over the number of workers"""
    counts = bench.scale((2, 64), (2, 4, 8, 16, 32, 64))
    others = bench.scale(["raw-reuseport"], ["raw-reuseport", "raw-shared", "nginx"])
    for kind in [*others, *bench.usable(*KINDS)]:
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
            servers[0],
            servers[1:],
            lambda server: slices.connect(bench.load, server, 8, 250, idle=IDLE),
            bench.scale(3, 6),
            lambda text: bench.say(f"{where}: {text}"),
        )
    first = slices.account(bench, f"{where}.w2", paired)
    curve = [(2, first)]
    for server in servers[1:]:
        ratio = statistics.median(paired.ratios[server.name, "cpu"])
        curve.append((server.workers, first * ratio))
    bench.plots.setdefault("growth", {})[kind] = curve
    more = {"peer": "2 workers"}
    bench.row = f"{ROW}: others"
    if kind in KINDS:
        bench.row = ROW
        more.update(goal=GOAL, noise=paired.noise("cpu"))
        limit = bench.plots["growth"].get("raw-reuseport")
        if limit:
            more["note"] = f"hand-written C itself: {limit[-1][1] / limit[0][1]:.3f}"
    bench.add_ratios(f"{where}.cpu", paired.ratios[f"{kind}.w64", "cpu"], **more)
