"""Slices of new connections at a fixed rate, while something happens to the workers."""

import time

WORKERS, RATE, PERIOD, BLOCKED = 4, 2000, 0.2, 0.05
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


def mode_of(server):
    return server.name.removeprefix("dtm-")


def merge(results):
    """One distribution of several: [[ns, count]]."""
    counts = {}
    for result in results:
        for value, count in result["buckets"]:
            counts[value] = counts.get(value, 0) + count
    return sorted(counts.items())
