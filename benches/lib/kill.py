"""What becomes of new connections while workers are killed."""

import random
import signal

from . import process
from .load import lost
from .paced import OURS, WORKERS, doubts, mode_of, paced

GOAL = 2  # p99 meanwhile by that of before
ROW = "kill -9 of any worker, five a second, at 2,000 connections a second"


def kill(bench):
    """kill -9 of workers"""
    # Who is killed here dies young for the twentieth time: no back-off for that.
    at_once = {"respawn_delay": "1ms", "respawn_delay_max": "1ms"}
    modes = bench.usable(*bench.scale(OURS, ()))
    wanted = [bench.dtm(WORKERS, mode, **at_once) for mode in modes]
    others = bench.scale([], ["nginx", "nginx-mutex", "nginx-reuseport"])
    for server in wanted + bench.peers(WORKERS, others):
        bench.say(f"kill: {server.name}")
        with bench.running(server) as alive:
            if alive:
                _kill(bench, server)
    bench.row = ROW
    for mode in OURS:
        bench.refused(mode, f"kill.{mode}.stuck", unit="count", goal=0)
        bench.refused(mode, f"kill.{mode}.p99", goal=GOAL, peer="before")


def _is_calm(pairs):
    """Kept its goal each time: no unrest could make it so."""
    return all(hurt["p99"] <= GOAL * before["p99"] for before, hurt in pairs)


def _kill(bench, server):
    load, mode, killed = bench.load, mode_of(server), []

    def strike():
        victim = random.choice(server.worker_pids() or [0])
        if victim:
            process.kill(victim, signal.SIGKILL)
            killed.append(victim)

    seconds, rounds = bench.scale((2.0, 2), (3.0, 4 if mode in OURS else 1))
    load("target", server.port, "http")
    paced(load, 0.5)
    pairs = [(paced(load, seconds), paced(load, seconds, strike)) for _ in range(rounds)]

    stuck = sum(hurt["stuck"] for _, hurt in pairs)
    ended = sum(lost(hurt) for _, hurt in pairs) - stuck
    ours = server.name.startswith("dtm-")
    bench.row = ROW if ours else "kill -9 of any worker: the other servers"
    note = f"{len(killed)} killed; {ended} requests ended with the worker that had them"
    alone = sum(before["stuck"] for before, _ in pairs)
    why = f"{alone} were stuck without any kill, too" if ours and alone else ""
    bench.add(f"kill.{mode}.stuck", stuck, "count", goal=0 if ours else None, why=why, note=note)
    bench.add_ratios(
        f"kill.{mode}.p99",
        [hurt["p99"] / before["p99"] for before, hurt in pairs],
        peer="before",
        goal=GOAL if ours else None,
        why=doubts([before for before, _ in pairs]) if ours and not _is_calm(pairs) else "",
    )
