#!/usr/bin/env python3
"""An SVG chart of on relative to off: groups of bars by case, in a group one for each interpreter.

    chart.py RESULT.json... CHART.svg

draws what several runs have written with --json into one chart: interpreters of different Debian
releases are measured in different roots.
"""
import json
import sys
from xml.sax.saxutils import escape

sys.dont_write_bytecode = True
import report  # noqa: E402  (beside this file)

WIDTH = 760
LEFT = 250          # where the bars begin
SCALE = 400         # length of a bar that says 1.00
BAR, GAP, GROUP_GAP, SECTION_GAP = 13, 3, 9, 34
COLORS = ("#3b6ea5", "#d98c3a", "#5d9b6b", "#8a6bb0")
INK, SOFT, RULE = "#24292f", "#6b737c", "#c9d1d9"
FONT = "font-family=\"system-ui, 'DejaVu Sans', sans-serif\""


class Drawing:
    def __init__(self):
        self.parts = []

    def text(self, x, y, text, size=12, color=INK, anchor="start", weight="normal"):
        # White around the letters, so that no line runs through them.
        self.parts.append(
            '<text x="%g" y="%g" font-size="%g" fill="%s" text-anchor="%s" font-weight="%s" '
            'paint-order="stroke" stroke="#ffffff" stroke-width="3">%s</text>'
            % (x, y, size, color, anchor, weight, escape(text)))

    def bar(self, x, y, width, height, color):
        self.parts.append('<rect x="%g" y="%g" width="%.1f" height="%g" rx="2" fill="%s"/>'
                          % (x, y, width, height, color))

    def rule(self, x, top, bottom, dashes):
        self.parts.append('<line x1="%g" y1="%g" x2="%g" y2="%g" stroke="%s"%s/>'
                          % (x, top, x, bottom, INK if not dashes else RULE,
                             ' stroke-dasharray="3 3"' if dashes else ""))


def time_bars(result):
    for key, suffix in (("wall_ms", ""), ("import_ms", ", import")):
        if key in result["time"]:
            yield result["title"] + suffix, report.summary(result["time"][key])


def sections_of(interpreters):
    """[(heading, [(label, {version: (ratio, low, high)})])]"""
    times, memories, counts = {}, {}, set()
    for interpreter in interpreters:
        version = interpreter["version"]
        for result in interpreter["cases"]:
            for label, s in time_bars(result):
                times.setdefault(label, {})[version] = (s["ratio"], *s["ratio_quartiles"])
            # The number that most machines have of one program, where it was measured.
            if result["memory"]:
                count = "20" if "20" in result["memory"] else list(result["memory"])[-1]
                counts.add(count)
                s = report.memory_summary(result["memory"][count])
                memories.setdefault(result["title"], {})[version] = (s["private_ratio"],) * 3
    sections = []
    if times:
        sections.append(("Time, with pycdsd relative to without", times))
    if memories:
        sections.append(("Private memory of a process (%s alive at once), with pycdsd relative to "
                         "without" % "/".join(sorted(counts)), memories))
    return [(heading, list(rows.items())) for heading, rows in sections]


def draw(interpreters):
    """The text of an SVG file."""
    sections = sections_of(interpreters)
    versions = [interpreter["version"] for interpreter in interpreters]
    colors = dict(zip(versions, COLORS * len(versions)))
    drawing = Drawing()
    x = LEFT
    for version in versions:
        drawing.bar(x, 14, 12, 12, colors[version])
        drawing.text(x + 17, 24, "Python " + version)
        x += 130
    y = 52
    for heading, rows in sections:
        drawing.text(16, y, heading, size=13, weight="600")
        y += 14
        top = y
        bottom = top + sum(len(values) * (BAR + GAP) + GROUP_GAP for _, values in rows)
        for part in (0, 0.25, 0.5, 0.75, 1):
            drawing.rule(LEFT + part * SCALE, top - 4, bottom, dashes=0 < part < 1)
            drawing.text(LEFT + part * SCALE, bottom + 13, "%.2f" % part, size=10, color=SOFT,
                         anchor="middle")
        for label, values in rows:
            height = len(values) * (BAR + GAP) - GAP
            drawing.text(LEFT - 10, y + height / 2 + 4, shortened(label), anchor="end")
            for version in versions:
                if version in values:
                    one_bar(drawing, y, values[version], colors[version])
                    y += BAR + GAP
            y += GROUP_GAP
        y += SECTION_GAP + 14
    drawing.text(16, y - 16, "Shorter is better; 1.00 is stock Python. Thin lines: quartiles of "
                 "alternating runs.", size=11, color=SOFT)
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
            'role="img" aria-label="Time and memory with pycdsd relative to without" %s>\n'
            '<rect width="100%%" height="100%%" fill="#ffffff"/>\n%s\n</svg>\n'
            % (WIDTH, y, WIDTH, y, FONT, "\n".join(drawing.parts)))


def shortened(label, most=37):
    return label if len(label) <= most else label[:most - 1] + "…"


def one_bar(drawing, y, value, color):
    ratio, low, high = value
    # A bar never leaves the picture; its number says what it cannot.
    longest = (WIDTH - LEFT - 60) / SCALE
    drawing.bar(LEFT, y, min(ratio, longest) * SCALE, BAR, color)
    end = min(max(ratio, high), longest)
    if high > low:
        drawing.bar(LEFT + min(low, longest) * SCALE, y + BAR / 2 - 0.5, (end - min(low, longest))
                    * SCALE, 1, INK)
    drawing.text(LEFT + end * SCALE + 5, y + BAR - 3, "%.2f" % ratio, size=11)


def main(arguments):
    if len(arguments) < 2 or any(argument.startswith("-") for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    interpreters = []
    for name in arguments[:-1]:
        with open(name) as file:
            interpreters += json.load(file)["interpreters"]
    with open(arguments[-1], "w") as file:
        file.write(draw(interpreters))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
