"""Another load generator: do its ratios agree with those of the bench's own?"""

import os
import re
import subprocess
import time

from . import facts, slices
from .stats import Slice


def _measure(bench, wrk, server):
    url = f"http://127.0.0.1:{server.port}/"
    begin, cpu = time.monotonic(), server.cpu_ns()
    done = subprocess.run(
        [wrk, "-t1", "-c64", "-d1s", url],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, bench.server_cpus),
    ).stdout
    cpu, wall = server.cpu_ns() - cpu, time.monotonic() - begin
    requests = int(re.search(r"(\d+) requests in", done).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done).group(1))
    return Slice(rate, cpu / requests / 1000, 0.0, cpu / wall / 1e9, int("errors" in done))


def wrk(bench):
    """wrk as a cross-check"""
    program = facts.find("wrk")
    bench.row = "cross-check of keep-alive HTTP 200 with wrk, on the CPU of the servers"
    if not program:
        bench.add("wrk.http.w2.cpu", None, goal=1.03, peer="raw", why="wrk is not there")
        return
    raw, dtm = bench.raw(2), bench.dtm(2)
    with bench.running(raw, dtm, *bench.peers(2, ["nginx"])) as alive:
        paired = slices.paired(
            bench,
            "wrk",
            raw,
            alive[1:],
            lambda server: _measure(bench, program, server),
            bench.scale(2, 6),
        )
    noise = paired.noise("cpu")
    ratios = paired.ratios["dtm-auto", "cpu"]
    bench.add_ratios("wrk.http.w2.cpu", ratios, noise, goal=1.03, peer="raw")
    if len(alive) == 3:
        slices.against_nginx(bench, "wrk.http.w2.cpu", "dtm-auto", paired, "cpu", 0.65)
        slices.limit_against_nginx(bench, "wrk.http.w2.raw.cpu", paired, "cpu")
