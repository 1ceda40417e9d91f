"""The three plots of docs/performance.md."""

import math

from .svg import COLOURS, Svg

ORDER = [
    "steer", "token", "hash", "shared", "pass", "lock", "raw-reuseport", "raw-shared",
    "nginx", "nginx-reuseport", "nginx-mutex", "haproxy",
]  # fmt: skip


def _sorted(names, most):
    return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else 99)[:most]


def share(data, path):
    """Bars: the share of each of 16 workers, the largest first."""
    panels = {}  # (server, pattern) -> shares
    for name, shares in data.items():
        _, workers, server, pattern = name.split(".")
        if workers == "w16":
            panels[server, pattern] = shares
    servers = _sorted({server for server, _ in panels}, 12)
    width, height, left, top = 190, 46, 120, 40
    svg = Svg(left + 3 * (width + 20) + 60, top + len(servers) * (height + 16) + 10)
    for column, pattern in enumerate(("slow", "burst", "churn")):
        svg.text(left + column * (width + 20) + width / 2, 22, pattern, "title", "middle")
    for row, server in enumerate(servers):
        y = top + row * (height + 16)
        svg.text(left - 10, y + height / 2 + 4, server, anchor="end")
        for column, pattern in enumerate(("slow", "burst", "churn")):
            if (server, pattern) in panels:
                x = left + column * (width + 20)
                _bars(svg, x, y, width, height, panels[server, pattern])
    svg.write(path)


def _bars(svg, x, y, width, height, shares):
    mean = sum(shares) / len(shares)
    top, step = 3 * mean, width / len(shares)
    for at, share_of_one in enumerate(shares):
        tall = min(share_of_one / top, 1) * height
        svg.bar(x + at * step + 1, y + height - tall, step - 2, tall, COLOURS[0])
        if share_of_one > top:
            svg.text(x + at * step, y - 2, f"{share_of_one}", "small")
    svg.line([(x, y + height - height / 3), (x + width, y + height - height / 3)], "mark")
    svg.line([(x, y + height), (x + width, y + height)], "axis")


KINDS = ["unblocked", "blocked1", "blocked2", "stopped1"]
NAMES = ["undisturbed", "1 of 4 blocked", "2 of 4 blocked", "1 of 4 stopped"]
TAILS = [(0.5, "50 %"), (0.1, "90 %"), (0.01, "99 %"), (0.001, "99.9 %")]


def cdf(data, path):
    """Lines: which part of the new connections was served within a time."""
    servers = _sorted(data, 12)
    width, height, columns = 260, 170, min(3, len(servers))
    rows = math.ceil(len(servers) / columns)
    svg = Svg(columns * (width + 60) + 20, rows * (height + 70) + 90)
    for at, server in enumerate(servers):
        x = 60 + at % columns * (width + 60)
        y = 30 + at // columns * (height + 70)
        svg.text(x, y - 10, server, "title")
        _tail(svg, x, y, width, height, data[server])
    svg.legend(60, rows * (height + 70) + 30, NAMES)
    svg.write(path)


def _tail(svg, x, y, width, height, distributions):
    low, high = math.log10(5e4), math.log10(1e8)  # 50 us to 100 ms

    def across(ns):
        return x + width * (min(max(math.log10(max(ns, 1)), low), high) - low) / (high - low)

    def up(tail):
        return y + height * (1 - min(-math.log10(max(tail, 1e-9)), 3.5) / 3.5)

    for ns, name in ((1e5, "0.1 ms"), (1e6, "1 ms"), (1e7, "10 ms"), (1e8, "100 ms")):
        svg.line([(across(ns), y), (across(ns), y + height)], "grid")
        svg.text(across(ns), y + height + 14, name, "small", "middle")
    for tail, name in TAILS:
        svg.line([(x, up(tail)), (x + width, up(tail))], "grid")
        svg.text(x - 5, up(tail) + 4, name, "small", "end")
    svg.line([(x, y), (x, y + height), (x + width, y + height)], "axis")
    for kind, colour in zip(KINDS, COLOURS):
        counts = distributions.get(kind)
        if not counts:
            continue
        total, seen, points = sum(count for _, count in counts), 0, []
        for ns, count in counts:
            seen += count
            points.append((across(ns), up(1 - seen / total)))
        svg.line(points, "line", colour)


def growth(data, path):
    """Lines: CPU per connection over the number of workers, 2 workers = 1."""
    kinds = _sorted(data, 6)
    width, height, x, y = 460, 240, 60, 40
    top = max(cpu / curve[0][1] for curve in data.values() for _, cpu in curve) * 1.1
    svg = Svg(width + 260, height + 90)
    svg.text(x, 22, "CPU per connection, 2,000 others idle; with 2 workers = 1", "title")

    def across(workers):
        return x + width * (math.log2(workers) - 1) / 5

    def up(ratio):
        return y + height * (1 - ratio / top)

    for workers in (2, 4, 8, 16, 32, 64):
        svg.line([(across(workers), y), (across(workers), y + height)], "grid")
        svg.text(across(workers), y + height + 16, str(workers), anchor="middle")
    svg.text(x + width / 2, y + height + 34, "workers", anchor="middle")
    step = 0.25 if top < 2.5 else 0.5
    for number in range(int(top / step) + 1):
        svg.line([(x, up(number * step)), (x + width, up(number * step))], "grid")
        svg.text(x - 6, up(number * step) + 4, f"{number * step:.2f}", "small", "end")
    for kind, colour in zip(kinds, COLOURS):
        curve = data[kind]
        svg.line([(across(n), up(cpu / curve[0][1])) for n, cpu in curve], "line", colour)
    svg.legend(x + width + 20, y + 12, kinds)
    svg.write(path)
