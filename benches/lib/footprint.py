"""What a service costs that does nothing: wake-ups, memory, the time to start."""

import os
import re
import statistics
import subprocess
import time

from . import process
from .servers import FORK


def idle(bench):
    """an idle service"""
    bench.row = "wake-ups a second of an idle 16-worker service"
    seconds = bench.scale(2, 5)
    servers = [bench.dtm(16, mode) for mode in bench.usable(*(("steer", "token") if bench.quick else ()))]
    for server in servers + bench.peers(16, ["nginx", "nginx-mutex", "haproxy"]):
        ours = server.name.startswith("dtm-")
        bench.row = "wake-ups a second of an idle 16-worker service" + ("" if ours else ": others")
        bench.say(f"idle: {server.name}")
        with bench.running(server) as alive:
            if not alive:
                continue
            time.sleep(1)
            before = process.switches(process.tree(server.process.pid))
            time.sleep(seconds)
            found = process.switches(process.tree(server.process.pid)) - before
            name = f"idle.{server.name.removeprefix('dtm-')}.wakeups"
            bench.add(name, found / seconds, "/s", goal=0 if ours else None)


CLIENTS = 5000


def _memory(bench, server):
    """Private bytes: of a fresh worker, and per client that had an answer and is idle."""
    with bench.running(server) as alive:
        if not alive:
            return None
        workers = server.worker_pids()
        bench.load("target", server.port, "http")
        bench.load("open", 100, 0)
        fresh = [process.private_bytes(pid) for pid in workers]
        bench.load("open", CLIENTS, 4000)
        time.sleep(0.2)
        grown = sum(map(process.private_bytes, workers)) - sum(fresh)
        bench.load("close")
        return statistics.median(fresh), grown / CLIENTS


def memory(bench):
    """memory of workers"""
    bench.say("memory")
    bench.row = "memory of libdtm in a worker, over the hand-written server's"
    raw, dtm = _memory(bench, bench.raw(2)), _memory(bench, bench.dtm(2))
    if not raw or not dtm:
        return
    bench.add("memory.client", dtm[1] - raw[1], "B", goal=128, peer="raw", note=f"{dtm[1]:.0f} and {raw[1]:.0f}")
    kib = (dtm[0] - raw[0]) / 1024
    note = f"{dtm[0] / 1024:.0f} and {raw[0] / 1024:.0f}"
    bench.add("memory.worker", kib, "KiB", goal=300, peer="raw", note=note)


def start(bench):
    """200 workers"""
    bench.say("start: 200 workers")
    bench.row = "200 workers forked, updated and open"
    times = []
    for _ in range(bench.scale(3, 7)):
        server = bench.dtm(200, max_processes=512)
        with bench.running(server, cpus=bench.all_cpus) as alive:
            if alive:
                forked = server.times(FORK)
                times.append(1000 * (server.open_times()[-1] - forked[0]))
    if not times:
        bench.add("start.200", None, "ms", goal=250, why=server.refusal)
        return
    bench.add("start.200", statistics.median(times), "ms", goal=250, low=min(times), high=max(times))


def instructions(bench):
    """instructions of the library per step"""
    bench.row = "instructions of the library per client step"
    script = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "gates", "instructions.sh")
    if not os.path.exists(script):
        bench.add("instructions.step", None, "count", goal=150, why="tests/gates/instructions.sh is not there")
        return
    bench.say("instructions")
    done = subprocess.run(["sh", script], capture_output=True, text=True, timeout=300)
    found = re.findall(r"([\d,]+) instructions", done.stdout)
    if not found:
        why = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no output"]
        bench.add("instructions.step", None, "count", goal=150, why=why[0])
        return
    bench.add("instructions.step", int(found[-1].replace(",", "")), "count", goal=150)
