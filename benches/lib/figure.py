"""A figure: what was measured, and what it should be."""

import json
from dataclasses import dataclass, field

NOISE_LIMIT = 0.10  # of the hand-written server's own slices; above: no verdict
NEAR = 0.03  # to hand-written C, where that misses the goal, too
AT_LIMIT = "at the limit"


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
    limit: float | None = None  # what hand-written C reached in the same slices
    of_limit: float | None = None  # ours by that, the median over the rounds
    row: str = field(default="", repr=False)  # the heading it stands under

    @property
    def verdict(self):
        if self.value is None:
            return "refused" if self.why.startswith("refused") else "no value"
        if self.goal is None:
            return ""
        if self.why:
            return "no verdict"
        if self._meets_goal(self.value):
            return "ok"
        return AT_LIMIT if self._is_at_limit() else "MISS"

    def _meets_goal(self, value):
        return value <= self.goal if self.better == "lower" else value >= self.goal

    def _is_at_limit(self):
        """Does hand-written C miss the goal as well, and are we as good as that?"""
        if self.limit is None or self._meets_goal(self.limit):
            return False
        return self.of_limit <= 1 + NEAR if self.better == "lower" else self.of_limit >= 1 - NEAR

    def remarks(self):
        """The verdict, and what else there is to say; each may be empty."""
        verdict, limit = self.verdict, ""
        if self.limit is not None:
            limit = f"hand-written C {show(self.limit)}, ours {show(self.of_limit)} of that"
        if verdict == AT_LIMIT:
            verdict, limit = f"{verdict}: {limit}", ""
        return verdict, "; ".join(part for part in (limit, self.why, self.note) if part)

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
        if self.limit is not None:
            shown["limit"], shown["of_limit"] = self.limit, self.of_limit
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
    verdict, more = figure.remarks()
    if verdict.startswith(AT_LIMIT) and more:
        verdict += ";"
    name = figure.name + (f" / {figure.peer}" if figure.peer else "")
    return (
        f"  {name:<46} {show(figure.value):>9} {figure.unit:<6} {middle:<16} "
        f"{goal:<8} {verdict:<10} {more}"
    ).rstrip()


def table(figures):
    lines, row = [], None
    rows = list(dict.fromkeys(figure.row for figure in figures))
    for figure in sorted(figures, key=lambda figure: rows.index(figure.row)):
        if figure.row != row:
            row = figure.row
            lines += ["", row]
        lines.append(line(figure))
    return "\n".join([*lines, "", summary(figures)])


def summary(figures):
    """What became of the goals."""
    verdicts = [figure.verdict for figure in figures if figure.goal is not None]
    met, at_limit, missed = (verdicts.count(verdict) for verdict in ("ok", AT_LIMIT, "MISS"))
    parts = [f"{met} of {len(verdicts)} goals met"]
    if at_limit:
        near = f"within {100 * NEAR:.0f} % of it"
        parts.append(f"{at_limit} missed by hand-written C as well and {near}")
    parts += [f"{missed} missed", f"{len(verdicts) - met - at_limit - missed} without a verdict"]
    return ", ".join(parts)
