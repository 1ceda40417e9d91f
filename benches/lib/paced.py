"""Slices of new connections at a fixed rate, while something happens to the workers."""

import statistics
import time

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


def doubts(undisturbed):
    """Why slices in which nothing was done are no measure for others; empty: they are."""
    p99 = [result["p99"] for result in undisturbed]
    if statistics.median(p99) > STARVED:
        return f"p99 was {statistics.median(p99) / 1e6:.1f} ms even undisturbed"
    if spread(p99) > RESTLESS:
        return f"p99 varied by {spread(p99):.0%} even undisturbed"
    return ""


def mode_of(server):
    return server.name.removeprefix("dtm-")


def merge(results):
    """One distribution of several: [[ns, count]]."""
    counts = {}
    for result in results:
        for value, count in result["buckets"]:
            counts[value] = counts.get(value, 0) + count
    return sorted(counts.items())
