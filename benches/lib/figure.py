"""A figure: what was measured, and what it should be."""

import json
from dataclasses import dataclass, field

NOISE_LIMIT = 0.10  # of the hand-written server's own slices; above: no verdict


@dataclass
class Figure:
    name: str
    value: float | None
    unit: str
    better: str  # lower or higher
    goal: float | None = None
    peer: str = ""
    why: str = ""  # no value, or no verdict
    low: float | None = None
    high: float | None = None
    note: str = ""
    row: str = field(default="", repr=False)  # the heading it stands under

    @property
    def verdict(self):
        if self.value is None:
            return "refused" if self.why.startswith("refused") else "no value"
        if self.goal is None:
            return ""
        if self.why:
            return "no verdict"
        met = self.value <= self.goal if self.better == "lower" else self.value >= self.goal
        return "ok" if met else "MISS"

    def json(self):
        shown = {
            "name": self.name,
            "value": None if self.why else self.value,
            "unit": self.unit,
            "better": self.better,
            "goal": self.goal,
            "peer": self.peer,
        }
        if self.why:
            shown["why"] = self.why
            if self.value is not None:
                shown["measured"] = self.value
        if self.low is not None:
            shown["quartiles"] = [self.low, self.high]
        if self.note:
            shown["note"] = self.note
        return json.dumps(shown)


def show(value):
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 3
    return f"{value:,.{digits}f}"


def line(figure):
    goal = ""
    if figure.goal is not None:
        goal = ("≤ " if figure.better == "lower" else "≥ ") + show(figure.goal)
    middle = ""
    if figure.low is not None and figure.value is not None:
        middle = f"{show(figure.low)} .. {show(figure.high)}"
    more = "; ".join(part for part in (figure.why, figure.note) if part)
    name = figure.name + (f" / {figure.peer}" if figure.peer else "")
    return (
        f"  {name:<46} {show(figure.value):>9} {figure.unit:<6} {middle:<16} "
        f"{goal:<8} {figure.verdict:<10} {more}"
    ).rstrip()


def table(figures):
    lines, row = [], None
    rows = list(dict.fromkeys(figure.row for figure in figures))
    for figure in sorted(figures, key=lambda figure: rows.index(figure.row)):
        if figure.row != row:
            row = figure.row
            lines += ["", row]
        lines.append(line(figure))
    verdicts = [figure.verdict for figure in figures if figure.goal is not None]
    lines += [
        "",
        f"{verdicts.count('ok')} goals met, {verdicts.count('MISS')} missed, "
        f"{len(verdicts) - verdicts.count('ok') - verdicts.count('MISS')} without a verdict",
    ]
    return "\n".join(lines)
