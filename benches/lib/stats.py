"""Medians, quartiles, and ratios of slices that were taken side by side."""

import statistics
from dataclasses import dataclass


def quartiles(values):
    values = list(values)
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def spread(values):
    """Distance of the quartiles, in parts of the median; of the ends, where there are few."""
    low, middle, high = quartiles(values)
    if len(values) < 4:
        low, high = min(values), max(values)
    return (high - low) / middle if middle else 0.0


# By how much the baseline may differ from one slice to its next.
STEADY = 0.10
# A p99 rests on one request of a hundred, so it varies more than a mean does.
RESTLESS = 0.30


def over(mine, theirs):
    """{round: ratio}, of the rounds that both have; where those are few, in their order."""
    both = [number for number in mine if number in theirs]
    if 2 * len(both) > min(len(mine), len(theirs)):
        return {number: mine[number] / theirs[number] for number in both}
    return dict(enumerate(one / other for one, other in zip(mine.values(), theirs.values())))


@dataclass
class Slice:
    rate: float  # requests a second
    cpu: float  # of the server, microseconds per request
    asking: float  # of the load generator, the same
    busy: float  # of one CPU
    lost: int


class Paired:
    """Ratios of each server to the baseline's slices before and after it."""

    def __init__(self, base):
        self.base = base  # the baseline's name
        # (server, "rate", "cpu", or "caused": with what it costs the load generator more
        # than the baseline does) -> {round: ratio}
        self.ratios = {}
        self.drift = {"rate": [], "cpu": []}  # of the baseline from slice to slice
        self.baseline = []
        self.slices = {}  # server -> [Slice]
        self._unsteady = []  # what to add if there is too little else

    @staticmethod
    def is_steady(before, after, what):
        """Has the machine stayed the same meanwhile? The servers have no part in this."""
        first, second = getattr(before, what), getattr(after, what)
        return abs(first - second) <= STEADY * min(first, second)

    def add(self, number, server, before, sample, after, steady=True):
        if not steady:
            self._unsteady.append((self.add, number, server, before, sample, after))
            return
        self.slices.setdefault(server, []).append(sample)
        for what in ("rate", "cpu"):
            base = (getattr(before, what) + getattr(after, what)) / 2
            self.ratios.setdefault((server, what), {})[number] = getattr(sample, what) / base
        base = (before.cpu + after.cpu) / 2
        caused = sample.cpu + sample.asking - (before.asking + after.asking) / 2
        self.ratios.setdefault((server, "caused"), {})[number] = caused / base

    def add_baseline(self, before, after, steady=True):
        if not steady:
            self._unsteady.append((self.add_baseline, before, after))
            return
        self.baseline.append(after)
        for what in ("rate", "cpu"):
            self.drift[what].append(getattr(after, what) / getattr(before, what))

    def settle(self, rounds, left):
        """All is measured. Some servers may have too few good rounds, for all the tries: then
        everything counts, and the spread of that decides whether there is a verdict."""
        if any(missing > rounds // 4 for missing in left.values()):
            for add, *what in self._unsteady:
                add(*what)
        self._unsteady.clear()

    def noise(self, what):
        return spread(self.drift[what])

    def against(self, server, peer, what):
        """Round by round, over the baseline that both were held against; one may be that."""
        mine, theirs = (self.ratios.get((name, what)) for name in (server, peer))
        if server == self.base:
            mine = dict.fromkeys(theirs, 1.0)
        if peer == self.base:
            theirs = dict.fromkeys(mine, 1.0)
        return over(mine, theirs)
