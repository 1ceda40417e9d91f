"""What a service costs that does nothing: wake-ups, memory, the time to start."""

import os
import re
import statistics
import subprocess
import time

from . import facts, process
from .dtm import FORK
from .stats import RESTLESS, quartiles, spread


SETTLED = 3  # seconds: a second after the last start the master looks at all of them once


def idle(bench):
    """an idle service"""
    bench.row = "wake-ups a second of an idle 16-worker service"
    seconds = bench.scale(2, 5)
    modes = bench.usable(*bench.scale(("steer", "token"), ()))
    servers = [bench.dtm(16, mode) for mode in modes]
    for server in servers + bench.peers(16, ["nginx", "nginx-mutex", "haproxy"]):
        ours = server.name.startswith("dtm-")
        bench.row = "wake-ups a second of an idle 16-worker service" + ("" if ours else ": others")
        bench.say(f"idle: {server.name}")
        with bench.running(server) as alive:
            if not alive:
                continue
            time.sleep(SETTLED)
            before = process.switches(process.tree(server.process.pid))
            time.sleep(seconds)
            found = process.switches(process.tree(server.process.pid)) - before
            name = f"idle.{server.name.removeprefix('dtm-')}.wakeups"
            bench.add(name, found / seconds, "/s", goal=0 if ours else None)


CLIENTS = 5000
START_GOAL = 250  # ms
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


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
        return {"worker": statistics.median(fresh), "client": grown / CLIENTS}


def memory(bench):
    """memory of workers"""
    bench.say("memory")
    bench.row = "memory of libdtm in a worker, over the hand-written server's"
    raw, dtm = _memory(bench, bench.raw(2)), _memory(bench, bench.dtm(2))
    if not raw or not dtm:
        return
    for name, unit, size, goal in (("client", "B", 1, 128), ("worker", "KiB", 1024, 300)):
        mine, theirs = (found[name] / size for found in (dtm, raw))
        note = f"{mine:.0f} and {theirs:.0f} {unit}"
        bench.add(f"memory.{name}", mine - theirs, unit, goal=goal, peer="raw", note=note)


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
        bench.add("start.200", None, "ms", goal=START_GOAL, why=server.refusal)
        return
    noise, why = spread(times), ""
    low, middle, high = quartiles(times)
    if noise > RESTLESS and high > START_GOAL:
        why = f"from start to start it varied by {noise:.0%}"
    bench.add("start.200", middle, "ms", goal=START_GOAL, low=low, high=high, why=why)


def instructions(bench):
    """instructions of the library per step"""
    bench.row = "instructions of the library itself, by callgrind"
    script, why = os.path.join(ROOT, "tests", "gates", "instructions.sh"), "valgrind is not there"
    if facts.find("valgrind"):
        done = subprocess.run(["sh", script, bench.programs], capture_output=True, text=True)
        found = re.findall(r"^library instructions per (.*): ([\d.]+)$", done.stdout, re.M)
        for name, value in found:
            goal = 150 if name == "step" else None
            name = "instructions." + re.sub(r"\W+", "_", name)
            bench.add(name, float(value), "count", goal=goal)
            why = ""
        if why:
            why = ((done.stdout + done.stderr).strip() or "it says nothing").splitlines()[-1]
    if why:
        bench.add("instructions.step", None, "count", goal=150, why=why)
