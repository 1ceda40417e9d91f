"""What becomes of new connections while workers are killed."""

import random
import signal

from . import process
from .load import lost
from .paced import OURS, WORKERS, add_p99, interleaved, mode_of

GOAL, PEER = 2, "undisturbed"  # p99 meanwhile by that of the quiet slices before and after
ROW = "kill -9 of any worker, five a second, at 2,000 connections a second"


def kill(bench):
    """kill -9 of workers"""
    # Who is killed here dies young for the twentieth time: no back-off for that.
    at_once = {"respawn_delay": "1ms", "respawn_delay_max": "1ms"}
    modes = bench.usable(*bench.scale(OURS, ()))
    wanted = [bench.dtm(WORKERS, mode, **at_once) for mode in modes]
    others = bench.scale([], ["nginx", "nginx-mutex", "nginx-reuseport"])
    for server in wanted + bench.peers(WORKERS, others):
        with bench.running(server) as alive:
            if alive:
                _kill(bench, server)
    bench.row = ROW
    for mode in OURS:
        bench.refused(mode, f"kill.{mode}.stuck", unit="count", goal=0)
        bench.refused(mode, f"kill.{mode}.p99", goal=GOAL, peer=PEER)


def _kill(bench, server):
    mode, killed = mode_of(server), []

    def strike():
        victim = random.choice(server.worker_pids() or [0])
        if victim:
            process.kill(victim, signal.SIGKILL)
            killed.append(victim)

    seconds, rounds = bench.scale((2.0, 2), (3.0, 4) if mode in OURS else (2.0, 3))
    bench.load("target", server.port, "http")
    slices = interleaved(bench, f"kill {server.name}", seconds, rounds, {"kill": strike})["kill"]
    quiet = [after for _, _, after in slices]

    # Who waits in vain after a kill waits for its sake, too.
    stuck = sum(hurt["stuck"] + after["stuck"] for _, hurt, after in slices)
    ended = sum(lost(hurt) - hurt["stuck"] for _, hurt, _ in slices)
    ours = server.name.startswith("dtm-")
    bench.row = ROW if ours else "kill -9 of any worker: the other servers"
    note = f"{len(killed)} killed; {ended} requests ended with the worker that had them"
    alone = slices[0][0]["stuck"]
    why = f"{alone} were stuck before the first kill, too" if ours and alone else ""
    bench.add(f"kill.{mode}.stuck", stuck, "count", goal=0 if ours else None, why=why, note=note)
    add_p99(bench, f"kill.{mode}.p99", slices, quiet, PEER, GOAL if ours else None)
