"""svg.py COLUMNS: a terminal's screen (tmux capture-pane -e) from stdin, as SVG."""

import html
import re
import sys

columns = int(sys.argv[1])
WIDTH, HEIGHT, EDGE = 8.4, 18, 12
COLOURS = {31: "#e06c75", 32: "#98c379", 33: "#e5c07b", 36: "#56b6c2"}
PLAIN, PAPER = "#d7dae0", "#1e2127"

lines = sys.stdin.read().rstrip("\n").split("\n")
out = []
colour, bold, dim, reverse = PLAIN, False, False, False
for row, line in enumerate(lines):
    at = 0
    y = EDGE + row * HEIGHT
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        code = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
        if code:
            for n in (int(n or 0) for n in code[1].split(";")):
                if n == 0:
                    colour, bold, dim, reverse = PLAIN, False, False, False
                elif n == 39:
                    colour = PLAIN
                elif n in (22, 27):
                    bold, dim, reverse = (False, False, reverse) if n == 22 else (bold, dim, False)
                bold, dim, reverse = bold or n == 1, dim or n == 2, reverse or n == 7
                colour = COLOURS.get(n, colour)
            continue
        if not part:
            continue
        x, room = EDGE + at * WIDTH, len(part) * WIDTH
        at += len(part)
        ink = colour
        if reverse:
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{room:.1f}" height="{HEIGHT}" fill="{PLAIN}"/>')
            ink = PAPER
        if part.strip():
            style = ' font-weight="bold"' if bold else ""
            style += ' opacity="0.6"' if dim else ""
            out.append(
                f'<text x="{x:.1f}" y="{y + 13}" fill="{ink}"{style} textLength="{room:.1f}">{html.escape(part)}</text>'
            )

width, height = columns * WIDTH + 2 * EDGE, len(lines) * HEIGHT + 2 * EDGE
print(
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" xml:space="preserve" '
    f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">'
)
print(f'<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>')
print("\n".join(out))
print("</svg>")
