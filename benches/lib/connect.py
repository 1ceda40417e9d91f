"""What a connection costs: connect, one request, close."""

import statistics

from . import slices
from .bench import MODES
from .keepalive import LIMIT

CLIENTS, SLICE = 64, 250  # connections at once, ms
GOALS, NGINX = {"steer": 1.03, "token": 1.08}, 0.75
# What a schedule by tokens costs in C with nothing else in it: see benches/servers/raw.c.
TOKEN_LIMIT = 1.03
ROWS = {
    "together": "connect + request + close, CPU; servers and load on one CPU, which never sleeps",
    "apart": "connect + request + close, CPU; load on another CPU, so servers sleep in between",
}


def connect(bench):
    """connect + request + close"""
    for workers in (2, 4, 16):
        modes = bench.usable(*bench.scale(tuple(GOALS), ()))
        peers = ["raw-token", "nginx", "nginx-reuseport"] if bench.quick else [
            "raw-token", "raw-shared", "uv-shared", "event-shared",
            "nginx", "nginx-mutex", "nginx-reuseport", "haproxy",
        ]  # fmt: skip
        wanted = [bench.dtm(workers, mode) for mode in modes] + bench.peers(workers, peers)
        with bench.running(bench.raw(workers), *wanted) as alive:
            _connect(bench, workers, "together", alive)
            if not bench.quick:
                some = ("raw-reuseport", "raw-token", "dtm-steer", "dtm-token", "nginx")
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
    for mode in MODES:
        bench.row = f"{ROWS[layout]}; against hand-written C on plain reuseport"
        goal = GOALS.get(mode)
        if bench.refused(mode, f"{where}.{mode}.cpu", goal=goal, peer="raw"):
            continue
        if f"dtm-{mode}" in names:
            _mode(bench, f"{where}.{mode}", f"dtm-{mode}", paired, goal)
            if goal and "nginx" in names:
                bench.row = f"{ROWS[layout]}; against nginx"
                _against_nginx(bench, f"{where}.{mode}.cpu", f"dtm-{mode}", paired)
    if "nginx" in names:
        bench.row = f"{ROWS[layout]}; against nginx"
        ratios = [1 / ratio for ratio in paired.ratios["nginx", "cpu"]]
        bench.add_ratios(f"{where}.raw.cpu", ratios, peer="nginx", note=LIMIT)
    if "raw-token" in names and "dtm-token" in names:
        bench.row = f"{ROWS[layout]}; token against the same hand-over in hand-written C"
        ratios, noise = paired.against("dtm-token", "raw-token", "cpu"), paired.noise("cpu")
        figure = f"{where}.token.cpu"
        bench.add_ratios(figure, ratios, noise, goal=TOKEN_LIMIT, peer="raw-token")
    bench.row = f"{ROWS[layout]}: what the others cost, against plain reuseport"
    for name in names[1:]:
        if not name.startswith("dtm"):
            bench.add_ratios(f"{where}.{name}.cpu", paired.ratios[name, "cpu"], peer="raw")


def _mode(bench, where, name, paired, goal):
    # On loopback the kernel chooses a listener in the time of the process that connects.
    caused = statistics.median(paired.ratios[name, "caused"])
    note = f"{caused:.3f} with what it causes in the load generator's time"
    ratios = paired.ratios[name, "cpu"]
    bench.add_ratios(f"{where}.cpu", ratios, paired.noise("cpu"), goal=goal, peer="raw", note=note)


def _against_nginx(bench, figure, name, paired):
    ratios, noise = paired.against(name, "nginx", "cpu"), paired.noise("cpu")
    bench.add_ratios(figure, ratios, noise, goal=NGINX, peer="nginx")
