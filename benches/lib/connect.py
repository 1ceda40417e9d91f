"""What a connection costs: connect, one request, close."""

import statistics

from . import slices
from .bench import MODES

CLIENTS, SLICE = 64, 250  # connections at once, ms
GOALS, NGINX = {"steer": 1.03, "token": 1.08}, 0.75
# The same schedule in C with nothing else in it: see benches/servers/raw.c.
LIMITS = {"token": "raw-token", "steer": "raw-steer"}
ROWS = {
    "together": "connect + request + close, CPU; servers and load on one CPU, which never sleeps",
    "apart": "connect + request + close, CPU; load on another CPU, so servers sleep in between",
}


def connect(bench):
    """connect + request + close"""
    for workers in (2, 4, 16):
        modes = bench.usable(*bench.scale(tuple(GOALS), ()))
        peers = ["nginx", "nginx-reuseport"] if bench.quick else [
            "raw-shared", "uv-shared", "event-shared",
            "nginx", "nginx-mutex", "nginx-reuseport", "haproxy",
        ]  # fmt: skip
        peers = [*LIMITS.values(), *peers]
        wanted = [bench.dtm(workers, mode) for mode in modes] + bench.peers(workers, peers)
        if not bench.quick:
            wanted.append(bench.raw(workers).as_batch())
            wanted += [bench.dtm(workers, mode).as_batch() for mode in bench.usable("steer")]
        with bench.running(bench.raw(workers), *wanted) as alive:
            _connect(bench, workers, "together", alive)
            if not bench.quick:
                some = ("raw-reuseport", *LIMITS.values(), "dtm-steer", "dtm-token", "nginx")
                some += ("raw-reuseport-batch", "dtm-steer-batch")
                _connect(bench, workers, "apart", [s for s in alive if s.name in some])


def _connect(bench, workers, layout, servers):
    where = f"connect.{layout}.w{workers}"
    with bench.layout(layout):
        paired = slices.paired(
            bench,
            where,
            servers[0],
            servers[1:],
            lambda server: slices.connect(bench.load, server, CLIENTS, SLICE),
            bench.scale(4, 8),
        )
    slices.account(bench, f"{where}.raw", paired)
    names = [server.name for server in servers]
    limits = {mode: limit for mode, limit in LIMITS.items() if limit in names}
    for mode in MODES:
        bench.row = f"{ROWS[layout]}; against hand-written C on plain reuseport"
        goal = GOALS.get(mode)
        if bench.refused(mode, f"{where}.{mode}.cpu", goal=goal, peer="raw"):
            continue
        if f"dtm-{mode}" in names:
            _mode(bench, f"{where}.{mode}", f"dtm-{mode}", paired, goal, limits.get(mode))
            if goal and "nginx" in names:
                bench.row = f"{ROWS[layout]}; against nginx"
                figure = f"{where}.{mode}.cpu"
                limit = limits.get(mode)
                slices.against_nginx(bench, figure, f"dtm-{mode}", paired, "cpu", NGINX, limit)
    if "nginx" in names:
        bench.row = f"{ROWS[layout]}; against nginx"
        slices.limit_against_nginx(bench, f"{where}.raw.cpu", paired, "cpu")
    for mode, limit in limits.items():
        if f"dtm-{mode}" in names:
            bench.row = f"{ROWS[layout]}; against the same schedule in hand-written C"
            ratios = paired.against(f"dtm-{mode}", limit, "cpu")
            bench.add_ratios(f"{where}.{mode}.cpu", ratios, peer=limit)
    bench.row = f"{ROWS[layout]}: what the others cost, against plain reuseport"
    for name in names[1:]:
        if not name.startswith("dtm") or name.endswith("-batch"):
            bench.add_ratios(f"{where}.{name}.cpu", paired.ratios[name, "cpu"], peer="raw")


def _mode(bench, where, name, paired, goal, limit):
    # On loopback the kernel chooses a listener in the time of the process that connects.
    caused = statistics.median(paired.ratios[name, "caused"].values())
    more = {"note": f"{caused:.3f} with what it causes in the load generator's time"}
    if limit:
        more.update(limit=paired.ratios[limit, "cpu"], of_limit=paired.against(name, limit, "cpu"))
    ratios, noise = paired.ratios[name, "cpu"], paired.noise("cpu")
    bench.add_ratios(f"{where}.cpu", ratios, noise, goal=goal, peer="raw", **more)
