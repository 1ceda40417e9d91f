"""What a request costs, and what a connection costs."""

import statistics

from . import slices
from .bench import MODES
from .stats import quartiles

CLIENTS = 64


def _note(paired, server):
    """The rate says little where the load generator is the slower part."""
    busy = sorted(sample.busy for sample in paired.slices[server])
    return f"server busy {busy[len(busy) // 2]:.0%}"


def _done(bench, paired, where):
    """What a set of slices says beside its ratios."""
    bench.noise.append(paired.noise("cpu"))
    lost = sum(sample.lost for some in paired.slices.values() for sample in some)
    if lost:
        bench.say(f"{where}: {lost} requests lost")
    bench.row = "what the ratios stand on: CPU per request of the server that was held against"
    low, middle, high = quartiles([sample.cpu for sample in paired.baseline])
    bench.add(f"{where}.cpu", middle, "µs", low=low, high=high)
    return middle


def keepalive(bench):
    """keep-alive"""
    for workers in bench.scale((1, 4), (1, 2, 4)):
        raw, dtm = bench.raw(workers), bench.dtm(workers)
        names = ["uv-shared", "event-shared", "nginx", "haproxy", *BY_HAND]
        if bench.quick:
            names = ["nginx"] if workers < 4 else ["uv-shared", "event-shared", "nginx"]
        with bench.running(raw, dtm, *bench.peers(workers, names)) as alive:
            for kind in ("http", "echo"):
                some = [s for s in alive[1:] if _speaks(s.name, kind)]
                _keepalive(bench, workers, kind, raw, some)


# Examples of c-examples/, and the same without libdtm.
BY_HAND = {"dtm-uv": "uv-shared", "dtm-event": "event-shared", "dtm-epoll": "raw"}


def _speaks(name, kind):
    return name not in (BY_HAND if kind == "http" else ("nginx", "haproxy"))


def _keepalive(bench, workers, kind, raw, servers):
    where = f"keepalive.{kind}.w{workers}"
    paired = slices.paired(
        raw,
        servers,
        lambda server: slices.keepalive(bench.load, server, kind, CLIENTS, 250),
        bench.scale(3, 12),
        lambda text: bench.say(f"{where}: {text}"),
    )
    _done(bench, paired, where + ".raw")
    names = [server.name for server in servers]
    for what, goal, better in (("rate", 0.98, "higher"), ("cpu", 1.03, "lower")):
        bench.row = "keep-alive echo and HTTP 200, against hand-written C on epoll"
        bench.add_ratios(
            f"{where}.{what}",
            paired.ratios["dtm-auto", what],
            paired.noise(what),
            better=better,
            goal=goal,
            peer="raw",
            note=_note(paired, "dtm-auto") if what == "rate" else "",
        )
    if "nginx" in names:
        bench.row = "keep-alive HTTP 200, against nginx `return 200`"
        for what, goal, better in (("rate", 1.5, "higher"), ("cpu", 0.65, "lower")):
            ratios = paired.against("dtm-auto", "nginx", what)
            noise = paired.noise(what)
            bench.add_ratios(
                f"{where}.{what}", ratios, noise, better=better, goal=goal, peer="nginx"
            )
    bench.row = "keep-alive on another library's loop, with libdtm against prefork by hand"
    for name, peer in BY_HAND.items():
        if name in names:
            if peer == "raw":
                ratios = paired.ratios[name, "cpu"]
            else:
                ratios = paired.against(name, peer, "cpu")
            noise = paired.noise("cpu")
            bench.add_ratios(f"{where}.{name}.cpu", ratios, noise, goal=1.03, peer=peer)
    bench.row = "keep-alive: what the others cost, against hand-written C on epoll"
    for name in names:
        if not name.startswith("dtm"):
            bench.add_ratios(f"{where}.{name}.cpu", paired.ratios[name, "cpu"], peer="raw")


GOALS = {"steer": 1.03, "token": 1.08}


def connect(bench):
    """connect + request + close"""
    for workers in (2, 4, 16):
        raw = bench.raw(workers)
        modes = bench.usable(*bench.scale(("steer", "token"), ()))
        peers = ["nginx", "nginx-reuseport"] if bench.quick else [
            "raw-shared", "uv-shared", "event-shared",
            "nginx", "nginx-mutex", "nginx-reuseport", "haproxy",
        ]  # fmt: skip
        wanted = [bench.dtm(workers, mode) for mode in modes] + bench.peers(workers, peers)
        with bench.running(raw, *wanted) as alive:
            _connect(bench, workers, raw, alive[1:])


def _connect(bench, workers, raw, servers):
    where = f"connect.w{workers}"
    paired = slices.paired(
        raw,
        servers,
        lambda server: slices.connect(bench.load, server, CLIENTS, 250),
        bench.scale(4, 10),
        lambda text: bench.say(f"{where}: {text}"),
    )
    _done(bench, paired, where + ".raw")
    noise = paired.noise("cpu")
    names = [server.name for server in servers]
    for mode in MODES:
        bench.row = "connect + request + close, CPU against hand-written C on plain reuseport"
        name, goal = f"{where}.{mode}.cpu", GOALS.get(mode)
        if not bench.refused(mode, name, goal=goal, peer="raw") and f"dtm-{mode}" in names:
            ratios = paired.ratios[f"dtm-{mode}", "cpu"]
            bench.add_ratios(name, ratios, noise, goal=goal, peer="raw")
            if mode in GOALS and "nginx" in names:
                bench.row = "connect + request + close, CPU against nginx"
                ratios = paired.against(f"dtm-{mode}", "nginx", "cpu")
                limit = 1 / statistics.median(paired.ratios["nginx", "cpu"])
                note = f"hand-written C itself: {limit:.3f}"
                bench.add_ratios(name, ratios, noise, goal=0.75, peer="nginx", note=note)
    bench.row = "connect + request + close: what the others cost, against plain reuseport"
    for name in names:
        if not name.startswith("dtm"):
            bench.add_ratios(f"{where}.{name}.cpu", paired.ratios[name, "cpu"], peer="raw")


def growth(bench):
    """CPU per connection over the number of workers"""
    counts = bench.scale((2, 64), (2, 4, 8, 16, 32, 64))
    kinds = ["raw-reuseport", *bench.usable(*GOALS)] + bench.scale([], ["raw-shared", "nginx"])
    for kind in kinds:
        servers = [server for n in counts for server in _of_kind(bench, kind, n)]
        with bench.running(*servers) as alive:
            if alive and len(alive) == len(counts):
                _growth(bench, kind, alive)
    bench.row = GROWTH
    for mode in GOALS:
        bench.refused(mode, f"growth.{mode}.cpu", goal=1.25, peer="2 workers")


GROWTH = "CPU per connection, 64 workers against 2, with 2,000 idle connections open"


def _of_kind(bench, kind, workers):
    made = [bench.dtm(workers, kind)] if kind in GOALS else bench.peers(workers, [kind])
    for server in made:
        server.name = f"{kind}.w{workers}"
    return made


def _growth(bench, kind, servers):
    where = f"growth.{kind}"
    paired = slices.paired(
        servers[0],
        servers[1:],
        lambda server: slices.connect(bench.load, server, 8, 250, idle=2000),
        bench.scale(4, 8),
        lambda text: bench.say(f"{where}: {text}"),
    )
    first = _done(bench, paired, f"{where}.w2")
    curve = [(2, first)]
    for server in servers[1:]:
        ratio = statistics.median(paired.ratios[server.name, "cpu"])
        curve.append((server.workers, first * ratio))
    bench.plots.setdefault("growth", {})[kind] = curve
    more = {"peer": "2 workers"}
    bench.row = GROWTH + ": others"
    if kind in GOALS:
        bench.row = GROWTH
        more["goal"] = 1.25
        more["noise"] = paired.noise("cpu")
        limit = bench.plots["growth"].get("raw-reuseport")
        if limit:
            more["note"] = f"hand-written C itself: {limit[-1][1] / limit[0][1]:.3f}"
    bench.add_ratios(f"{where}.cpu", paired.ratios[f"{kind}.w64", "cpu"], **more)
