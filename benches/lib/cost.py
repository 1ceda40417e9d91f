"""What a request costs, and what a connection costs."""

from . import slices

CLIENTS = 64


def _note(paired, server):
    """The rate says little where the load generator is the slower part."""
    busy = sorted(sample.busy for sample in paired.slices[server])
    return f"server busy {busy[len(busy) // 2]:.0%}"


def _lost(bench, paired, where):
    lost = sum(sample.lost for some in paired.slices.values() for sample in some)
    if lost:
        bench.say(f"{where}: {lost} requests lost")


def keepalive(bench):
    """keep-alive"""
    for workers in (1, 2, 4):
        raw, dtm = bench.raw(workers), bench.dtm(workers)
        names = ["uv-shared", "event-shared", "nginx", "haproxy", "dtm-uv", "dtm-event", "dtm-epoll"]
        if bench.quick:
            names = ["nginx"] if workers < 4 else ["uv-shared", "event-shared", "nginx"]
        with bench.running(raw, dtm, *bench.peers(workers, names)) as alive:
            for kind in ("http", "echo"):
                some = [s for s in alive[1:] if fits(s.name, kind)]
                _keepalive(bench, workers, kind, raw, some)


def fits(name, kind):
    if kind == "http":
        return name not in ("dtm-uv", "dtm-event", "dtm-epoll")
    return name not in ("nginx", "haproxy")


def _keepalive(bench, workers, kind, raw, servers):
    where = f"keepalive.{kind}.w{workers}"
    paired = slices.paired(
        raw,
        servers,
        lambda server: slices.keepalive(bench.load, server, kind, CLIENTS, 250),
        bench.scale(3, 12),
        lambda text: bench.say(f"{where}: {text}"),
    )
    _lost(bench, paired, where)
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
            bench.add_ratios(
                f"{where}.{what}", ratios, paired.noise(what), better=better, goal=goal, peer="nginx"
            )
    bench.row = "keep-alive on another library's loop, with libdtm against prefork by hand"
    for name, by_hand in (("dtm-uv", "uv-shared"), ("dtm-event", "event-shared"), ("dtm-epoll", None)):
        if name in names:
            ratios = paired.against(name, by_hand, "cpu") if by_hand else paired.ratios[name, "cpu"]
            bench.add_ratios(
                f"{where}.{name}.cpu", ratios, paired.noise("cpu"), peer=by_hand or "raw", goal=1.03
            )
    bench.row = "keep-alive: what the others cost, against hand-written C on epoll"
    for name in names:
        if not name.startswith("dtm"):
            bench.add_ratios(f"{where}.{name}.cpu", paired.ratios[name, "cpu"], peer="raw")


GOALS = {"steer": 1.03, "token": 1.08}


def connect(bench):
    """connect + request + close"""
    for workers in (2, 4, 16):
        raw = bench.raw(workers)
        modes = bench.usable(*(("steer", "token") if bench.quick else ()))
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
    _lost(bench, paired, where)
    noise = paired.noise("cpu")
    names = [server.name for server in servers]
    for mode in bench.modes():
        if mode == "auto":
            continue
        bench.row = "connect + request + close, CPU against hand-written C on plain reuseport"
        name, goal = f"{where}.{mode}.cpu", GOALS.get(mode)
        if bench.modes()[mode] is not None:
            bench.refuse(name, mode, goal=goal, peer="raw")
        elif f"dtm-{mode}" in names:
            bench.add_ratios(name, paired.ratios[f"dtm-{mode}", "cpu"], noise, goal=goal, peer="raw")
            if mode in GOALS and "nginx" in names:
                bench.row = "connect + request + close, CPU against nginx"
                ratios = paired.against(f"dtm-{mode}", "nginx", "cpu")
                bench.add_ratios(name, ratios, noise, goal=0.75, peer="nginx")
    bench.row = "connect + request + close: what the others cost, against plain reuseport"
    for name in names:
        if not name.startswith("dtm"):
            bench.add_ratios(f"{where}.{name}.cpu", paired.ratios[name, "cpu"], peer="raw")


def growth(bench):
    """CPU per connection over the number of workers"""
    bench.row = "CPU per connection, 64 workers against 2, with 2,000 idle connections open"
    counts = bench.scale((2, 64), (2, 4, 8, 16, 32, 64))
    curves = {}
    for kind in [*bench.usable("steer", "token"), "raw-reuseport", "nginx", "nginx-reuseport"]:
        if bench.quick and kind.startswith("nginx"):
            continue
        some = [_of_kind(bench, kind, workers) for workers in counts]
        if some[0] is None:
            continue
        for server in some:
            server.name = f"{kind}.{server.workers}"
        with bench.running(*some) as alive:
            if len(alive) < len(counts):
                continue
            paired = slices.paired(
                alive[0],
                alive[1:],
                lambda server: slices.connect(bench.load, server, 8, 250, idle=2000),
                bench.scale(4, 8),
                lambda text: bench.say(f"growth {kind}: {text}"),
            )
        _lost(bench, paired, kind)
        ours = kind in bench.modes()
        name = f"growth.{kind}.64_over_2.cpu"
        ratios = paired.ratios[f"{kind}.64", "cpu"]
        noise = paired.noise("cpu")
        bench.add_ratios(name, ratios, noise if ours else 0.0, goal=1.25 if ours else None, peer="2 workers")
        first = sorted(sample.cpu for sample in paired.baseline)[len(paired.baseline) // 2]
        curves[kind] = [(2, first)] + [
            (n, first * sorted(r)[len(r) // 2])
            for n in counts[1:]
            for r in [paired.ratios[f"{kind}.{n}", "cpu"]]
        ]
    for mode in ("steer", "token"):
        if bench.modes()[mode] is not None:
            bench.refuse(f"growth.{mode}.64_over_2.cpu", mode, goal=1.25, peer="2 workers")
    bench.plots["growth"] = curves


def _of_kind(bench, kind, workers):
    if kind in bench.modes():
        return bench.dtm(workers, kind)
    return next(iter(bench.peers(workers, [kind])), None)
