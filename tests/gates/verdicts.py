"""What the benchmark says of its figures: python3 -B tests/gates/verdicts.py"""

import json
import os
import sys
from dataclasses import asdict

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "benches"))

from lib import report, slices  # noqa: E402
from lib.bench import Bench  # noqa: E402
from lib.figure import Figure, line, summary  # noqa: E402
from lib.stats import Paired, Slice, over  # noqa: E402


def figure(value, better="lower", **more):
    return Figure("a", value, "ratio", better, **{"goal": 0.65, "peer": "nginx", **more})


def same(found, expected):
    assert found == expected, f"{found!r}, expected {expected!r}"


def a_goal_is_met_missed_or_at_the_limit():
    # 0.65 at most ...
    same(figure(0.65).verdict, "ok")
    same(figure(0.671).verdict, "MISS")
    same(figure(0.671, limit=0.654, of_limit=1.03).verdict, "at the limit")
    same(figure(0.671, limit=0.654, of_limit=1.031).verdict, "MISS")
    same(figure(0.651, limit=0.65, of_limit=1.001).verdict, "MISS")  # it can be met
    same(figure(0.6, limit=0.7, of_limit=0.9).verdict, "ok")
    # ... and at least.
    same(figure(0.64, "higher", limit=0.649, of_limit=0.97).verdict, "at the limit")
    same(figure(0.64, "higher", limit=0.649, of_limit=0.969).verdict, "MISS")
    same(figure(0.64, "higher", limit=0.65, of_limit=0.99).verdict, "MISS")
    # Noise, or no goal, and it is neither.
    same(figure(0.671, limit=0.654, of_limit=1.0, why="restless").verdict, "no verdict")
    same(figure(0.671, limit=0.654, of_limit=1.0, goal=None).verdict, "")
    same(figure(None, why="refused: no").verdict, "refused")


def nothing_is_hidden():
    at_limit = figure(0.671, limit=0.654, of_limit=1.026, note="busy")
    shown = "at the limit: hand-written C 0.654, ours 1.026 of that; busy"
    assert "≤ 0.650" in line(at_limit) and line(at_limit).endswith(shown), line(at_limit)
    missed = figure(0.7, limit=0.654, of_limit=1.07)
    shown_missed = "MISS       hand-written C 0.654, ours 1.070 of that"
    assert line(missed).endswith(shown_missed), line(missed)
    both = [figure(0.6), at_limit, missed, figure(0.7, why="restless"), figure(1.0, goal=None)]
    text = "1 of 4 goals met, 1 missed by hand-written C as well and within 3 % of it, "
    same(summary(both), text + "1 missed, 1 without a verdict")
    same(summary(both[:1]), "1 of 1 goals met, 0 missed, 0 without a verdict")
    table = report._table([at_limit, missed])
    for part in (shown, "≤ 0.650", "**MISS**; hand-written C 0.654"):
        assert part in table, table
    said = report._verdict(both)
    assert said.index("Missed:") < said.index("Missed by hand-written C as well:"), said


def lines_have_a_limit_where_there_is_one():
    keys = ["name", "value", "unit", "better", "goal", "peer"]
    same(list(json.loads(figure(0.6).json())), keys)
    found = json.loads(figure(0.671, limit=0.654, of_limit=1.026).json())
    same((list(found)[:6], found["limit"], found["of_limit"]), (keys, 0.654, 1.026))
    old = asdict(figure(0.6))  # results of a run before there were limits
    del old["limit"], old["of_limit"]
    same(Figure(**old), figure(0.6))


def slice_of(cpu):
    return Slice(rate=1000 / cpu, cpu=cpu, asking=1.0, busy=1.0, lost=0)


def ratios_are_those_of_the_same_rounds():
    paired, base = Paired("raw"), slice_of(10.0)
    for number, cpu in enumerate((12.0, 20.0, 14.0)):  # the second time it was disturbed
        paired.add(number, "dtm", base, slice_of(cpu), base, steady=number != 1)
        paired.add(number, "nginx", base, slice_of(cpu * 2), base)
    paired.settle(3, {"dtm": 0})
    same(paired.ratios["dtm", "cpu"], {0: 1.2, 2: 1.4})
    same(paired.against("dtm", "nginx", "cpu"), {0: 0.5, 2: 0.5})
    same(paired.against("raw", "dtm", "cpu"), {0: 1 / 1.2, 2: 1 / 1.4})
    same(paired.against("dtm", "raw", "cpu"), {0: 1.2, 2: 1.4})
    same(over({0: 3.0, 1: 6.0}, {1: 2.0, 2: 3.0}), {0: 1.5, 1: 2.0})  # they met too rarely


def figures_against_nginx_have_the_limit():
    bench, paired = Bench.__new__(Bench), Paired("raw")
    bench.figures, bench.row = [], ""
    for number, slower in enumerate((1.0, 2.0, 3.0)):
        base = slice_of(8.0 * slower)
        for name, cpu in (("dtm", 8.2), ("nginx", 10.0)):
            paired.add(number, name, base, slice_of(cpu * slower), base)
        paired.add_baseline(base, base)
    slices.against_nginx(bench, "a", "dtm", paired, "cpu", 0.75)
    found = bench.figures[0]
    found = [round(value, 6) for value in (found.value, found.limit, found.of_limit)]
    same(found, [0.82, 0.8, 1.025])
    same(bench.figures[0].verdict, "at the limit")


a_goal_is_met_missed_or_at_the_limit()
nothing_is_hidden()
lines_have_a_limit_where_there_is_one()
ratios_are_those_of_the_same_rounds()
figures_against_nginx_have_the_limit()
