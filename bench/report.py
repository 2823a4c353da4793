"""Summaries and tables of what pycds_bench.py has measured."""
import statistics


def summary(values):
    """Medians of off, on and of the ratios and differences of each round."""
    ratios = [off / on for off, on in zip(values["off"], values["on"])]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {
        "off": statistics.median(values["off"]),
        "on": statistics.median(values["on"]),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [low, high],
        "difference": statistics.median(
            on - off for off, on in zip(values["off"], values["on"])),
    }


TIME_ROWS = (("wall_ms", "whole process, ms"), ("cpu_ms", "  its cpu time, ms"),
             ("import_ms", "import statement, ms"))
MEMORY_ROWS = (("Anonymous", "private memory, kB"), ("Pss", "  Pss, kB"), ("Rss", "  Rss, kB"))


def rows_of(result, live):
    for key, title in TIME_ROWS:
        if key not in result["time"]:
            continue
        s = summary(result["time"][key])
        faster = "%.2fx faster" % s["ratio"] if s["ratio"] >= 1 else "%.2fx slower" % (1 / s["ratio"])
        yield (title, "%.1f" % s["off"], "%.1f" % s["on"], faster,
               "%.2f-%.2f" % tuple(s["ratio_quartiles"]), "%+.2f" % s["difference"])
    for key, title in MEMORY_ROWS:
        off, on = (result["memory"][mode][key] for mode in ("off", "on"))
        yield (title + (" (%d live)" % live if key == "Anonymous" else ""), "%.0f" % off,
               "%.0f" % on, "%.2fx" % (on / off), "", "%+.0f" % (on - off))
    yield ("modules served", str(result["served"]["off"]), str(result["served"]["on"]), "", "", "")


def print_table(title, result, live):
    lines = [(title, "off", "on", "ratio", "quartiles", "difference")] + list(rows_of(result, live))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("-" * (sum(widths) + 2 * len(widths) - 2))
    print(flush=True)
