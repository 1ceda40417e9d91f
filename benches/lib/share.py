"""Who serves how many of 2,000 long-lived connections."""

PATTERNS = ("slow", "burst", "churn")
HELD = 2000


def _skew(load, workers, total):
    """Largest share over the mean. Workers without a client count."""
    result = load("shares")
    shares = sorted(result["shares"].values(), reverse=True)
    if sum(shares) != total:
        raise RuntimeError(f"{total - sum(shares)} of {total} connections are missing: {result}")
    return max(shares) * workers / total, shares + [0] * (workers - len(shares))


def _patterns(bench, server):
    """Slow: 1,000 a second. Burst: all at once. Churn: half of the workers lose theirs."""
    load, found = bench.load, {}
    load("target", server.port, "who")
    for pattern in PATTERNS:
        if pattern == "churn":  # goes on from the burst
            load("drop")
            server.settle()
            left = sum(load("shares")["shares"].values())
            load("open", HELD - left, 2000)
        else:
            load("close")
            server.settle()
            load("open", HELD, 1000 if pattern == "slow" else 0)
        found[pattern] = _skew(load, server.workers, HELD)
    load("close")
    return found


def share(bench):
    """2,000 long-lived connections"""
    for workers in bench.scale((16,), (2, 4, 16)):
        servers = []
        for mode in bench.usable(*bench.scale(("steer", "token"), ())):
            servers += [bench.dtm(workers, mode)]
        peers = ["nginx", "nginx-reuseport"] if bench.quick else [
            "raw-shared", "raw-reuseport", "nginx", "nginx-mutex", "nginx-reuseport", "haproxy",
        ]  # fmt: skip
        for server in servers + bench.peers(workers, peers):
            repeats = bench.scale(1, 3) if server.name in ("dtm-steer", "dtm-token") else 1
            bench.say(f"share w{workers}: {server.name}")
            with bench.running(server) as alive:
                if alive:
                    _report(bench, server, [_patterns(bench, server) for _ in range(repeats)])
        _row(bench, True)
        for mode in ("steer", "token"):
            names = [f"share.w{workers}.{mode}.{pattern}" for pattern in PATTERNS]
            bench.refused(mode, *names, goal=1.01)


def _row(bench, ours):
    bench.row = "share of 2,000 long-lived connections, max/mean (worst of the repeats)"
    if not ours:
        bench.row = "share of 2,000 long-lived connections: the other modes and servers"


def _report(bench, server, repeats):
    mode = server.name.removeprefix("dtm-")
    ours = mode in ("steer", "token")
    _row(bench, ours)
    for pattern in PATTERNS:
        skew, shares = max((found[pattern] for found in repeats), key=lambda found: found[0])
        name = f"share.w{server.workers}.{mode}.{pattern}"
        bench.add(name, skew, "ratio", goal=1.01 if ours else None)
        bench.plots.setdefault("share", {})[name] = shares
