"""As much of SVG as the plots need; readable on light and on dark paper."""

from html import escape

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #444 }
.title { font-weight: 600; font-size: 13px }
.small { font-size: 10px }
.axis { stroke: #888; stroke-width: 1; fill: none }
.grid { stroke: #8883; stroke-width: 1; fill: none }
.mark { stroke: #888; stroke-width: 1; stroke-dasharray: 4 3; fill: none }
.line { stroke-width: 2; fill: none }
@media (prefers-color-scheme: dark) { text { fill: #ccc } }
"""

# Distinct for colour-blind eyes, and dark enough and light enough for both papers.
COLOURS = ["#2f81c7", "#d9730d", "#2e9e6b", "#c2549d", "#8a7a1f", "#7a6fd0"]


class Svg:
    def __init__(self, width, height):
        self.width, self.height, self.parts = width, height, []

    def text(self, x, y, content, kind="", anchor="start"):
        name = f' class="{kind}"' if kind else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{name}>{escape(content)}</text>'
        )

    def line(self, points, kind, colour=None):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        stroke = f' stroke="{colour}"' if colour else ""
        self.parts.append(f'<polyline class="{kind}"{stroke} points="{path}"/>')

    def bar(self, x, y, width, height, colour):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(height, 0.5):.1f}" '
            f'fill="{colour}"/>'
        )

    def legend(self, x, y, names):
        for at, name in enumerate(names):
            self.line([(x, y - 4 + 16 * at), (x + 18, y - 4 + 16 * at)], "line", COLOURS[at % 6])
            self.text(x + 24, y + 16 * at, name)

    def write(self, path):
        with open(path, "w") as file:
            file.write(
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}">\n<style>{STYLE}</style>\n'
                + "\n".join(self.parts)
                + "\n</svg>\n"
            )
