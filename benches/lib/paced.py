"""Slices of new connections at a fixed rate, while something happens to the workers."""

import statistics
import time

from .load import lost
from .stats import RESTLESS, spread

WORKERS, RATE, PERIOD, BLOCKED = 4, 2000, 0.2, 0.05
STARVED = 2e6  # ns; on a machine with time for it, an undisturbed p99 is a tenth of that
OURS = ("steer", "token")  # the modes with goals


def paced(load, seconds, disturb=None):
    """Every 200 ms something happens, for 50 ms or at once."""
    load.begin("pace", RATE, int(seconds * 1000), 2000)
    end, turn = time.monotonic() + seconds - PERIOD, time.monotonic() + PERIOD / 2
    while disturb and turn < end:
        time.sleep(max(0, turn - time.monotonic()))
        disturb()
        turn += PERIOD
    return load.finish()


def interleaved(bench, where, seconds, rounds, disturbances):
    """{name: [(quiet slice, disturbed one, quiet one)]}, on the load's target."""
    load, found = bench.load, {}
    paced(load, 0.5)
    before = paced(load, seconds)
    for number in range(rounds):
        bench.say(f"{where}: round {number + 1}/{rounds}")
        for name, disturb in disturbances.items():
            hurt, after = paced(load, seconds, disturb), paced(load, seconds)
            found.setdefault(name, []).append((before, hurt, after))
            before = after
    return found


def doubts(undisturbed):
    """Why slices in which nothing was done are no measure for others; empty: they are."""
    p99 = [result["p99"] for result in undisturbed]
    if statistics.median(p99) > STARVED:
        return f"p99 was {statistics.median(p99) / 1e6:.1f} ms even undisturbed"
    if spread(p99) > RESTLESS:
        return f"p99 varied by {spread(p99):.0%} even undisturbed"
    return ""


def _steady(slices):
    """Those whose quiet neighbours agree, if they are enough: then there is no doubt."""
    def agree(before, after):
        return max(before["p99"], after["p99"]) <= (1 + RESTLESS) * min(before["p99"], after["p99"])

    good = [some for some in slices if agree(some[0], some[2])]
    return good if len(good) >= max(2, (len(slices) + 1) // 2) else None


def add_p99(bench, name, slices, quiet, peer, goal=None):
    """The p99 of disturbed slices by that of their quiet neighbours. `quiet`: all of those."""
    good, why = _steady(slices), ""
    if good and statistics.median(before["p99"] for before, _, _ in good) <= STARVED:
        slices = good
    elif goal is not None:
        why = doubts(quiet)
    ratios = {
        number: 2 * hurt["p99"] / (before["p99"] + after["p99"])
        for number, (before, hurt, after) in enumerate(slices)
    }
    p99 = statistics.median(hurt["p99"] for _, hurt, _ in slices) / 1e6
    missing = sum(lost(hurt) for _, hurt, _ in slices)
    note = f"p99 {p99:.2f} ms" + (f", {missing} lost" if missing else "")
    bench.add_ratios(name, ratios, peer=peer, goal=goal, why=why, note=note)


def mode_of(server):
    return server.name.removeprefix("dtm-")


def merge(results):
    """One distribution of several: [[ns, count]]."""
    counts = {}
    for result in results:
        for value, count in result["buckets"]:
            counts[value] = counts.get(value, 0) + count
    return sorted(counts.items())
