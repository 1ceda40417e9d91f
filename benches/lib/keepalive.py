"""What a request costs on a connection that stays."""

import statistics

from . import slices

CLIENTS, SLICE = 64, 250  # connections, ms
RATE, CPU = (0.98, 1.5), (1.03, 0.65)  # goals against the hand-written server and nginx

OTHERS = "keep-alive: what the others cost, against hand-written C on epoll"

# Examples of c-examples/, and the same without libdtm: with a socket for each worker, as the
# hand-written server has them. At one that all share, clients that stay pile up at few workers,
# and cost less there the more workers there are (raw-shared shows by how much).
BY_HAND = {"dtm-uv": "uv-reuseport", "dtm-event": "event-reuseport", "dtm-epoll": "raw"}
# The other interface of the kernel: completions, and readiness only (benches/servers/uring.c).
URING = ("uring-reuseport", "uring_poll-reuseport")


def keepalive(bench):
    """keep-alive"""
    for workers in bench.scale((1, 4), (1, 2, 4)):
        by_hand = ["raw-shared", *(peer for peer in BY_HAND.values() if peer != "raw")]
        names = [*by_hand, "nginx", "nginx-reuseport", "haproxy", *BY_HAND]
        if bench.quick:
            names = ["nginx"] if workers < 4 else [*by_hand, "nginx"]
        uring = bench.peers(workers, URING if workers in bench.scale((1,), (1, 4)) else ())
        wanted = [bench.raw(workers), bench.dtm(workers), *bench.peers(workers, names), *uring]
        with bench.running(*wanted) as alive:
            for kind in ("http", "echo"):
                some = [server for server in alive if _speaks(server.name, kind)]
                where = f"keepalive.{kind}.w{workers}"
                _cpu(bench, where, _paired(bench, where, "together", kind, some), some)
                some = [s for s in some if s.name in ("raw-reuseport", "dtm-auto", "nginx")]
                _rate(bench, where, _paired(bench, where, "apart", kind, some))
            for server in uring:
                if server not in alive:
                    figure = f"keepalive.echo.w{workers}.{server.name}.cpu"
                    bench.row, why = OTHERS, f"refused: {server.refusal}"
                    bench.add(figure, None, peer="raw", why=why)


def _speaks(name, kind):
    if kind == "http":
        return name not in (*BY_HAND, *URING)
    return not name.startswith(("nginx", "haproxy"))


def _paired(bench, where, layout, kind, servers):
    with bench.layout(layout):
        return slices.paired(
            bench,
            f"{where}, {layout}",
            servers[0],
            servers[1:],
            lambda server: slices.keepalive(bench.load, server, kind, CLIENTS, SLICE),
            bench.scale(3, 8),
            "cpu" if layout == "together" else "rate",
        )


def _against_both(bench, where, paired, what, goals, **more):
    noise = paired.noise(what)
    bench.row = "keep-alive echo and HTTP 200, against hand-written C on epoll"
    ratios = paired.ratios["dtm-auto", what]
    bench.add_ratios(f"{where}.{what}", ratios, noise, goal=goals[0], peer="raw", **more)
    if ("nginx", what) in paired.ratios:
        bench.row = "keep-alive HTTP 200, against nginx `return 200`"
        figure = f"{where}.{what}"
        slices.against_nginx(bench, figure, "dtm-auto", paired, what, goals[1], **more)


def _limit(bench, where, paired, what, **more):
    if ("nginx", what) in paired.ratios:
        bench.row = "keep-alive HTTP 200, against nginx `return 200`"
        slices.limit_against_nginx(bench, f"{where}.raw.{what}", paired, what, **more)


def _rate(bench, where, paired):
    busy = statistics.median(sample.busy for sample in paired.slices["dtm-auto"])
    note = f"server busy {busy:.0%}"  # if that is far from all, the load generator was slower
    _against_both(bench, where, paired, "rate", RATE, better="higher", note=note)
    _limit(bench, where, paired, "rate", better="higher")


def _cpu(bench, where, paired, servers):
    slices.account(bench, f"{where}.raw", paired)
    _against_both(bench, where, paired, "cpu", CPU)
    _limit(bench, where, paired, "cpu")
    names = [server.name for server in servers[1:]]
    bench.row = "keep-alive on another library's loop, with libdtm against prefork by hand"
    for name, peer in BY_HAND.items():
        if name in names:
            ratios = paired.ratios[name, "cpu"]
            if peer != "raw":
                ratios = paired.against(name, peer, "cpu")
            noise = paired.noise("cpu")
            bench.add_ratios(f"{where}.{name}.cpu", ratios, noise, goal=1.03, peer=peer)
    bench.row = OTHERS
    for name in names:
        if not name.startswith("dtm"):
            bench.add_ratios(f"{where}.{name}.cpu", paired.ratios[name, "cpu"], peer="raw")
