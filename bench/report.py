"""Summaries and tables of what pycds_bench.py has measured. Ratios are on divided by off: less is
better; only speeds of steady state are the other way round."""
import math
import statistics

import steady


def summary(values):
    """Medians of off, on and of the ratios and differences of each round, and the ratio of the
    fastest runs: two figures that noise moves in different ways."""
    ratios = [on / off for off, on in zip(values["off"], values["on"])]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {
        "off": statistics.median(values["off"]),
        "on": statistics.median(values["on"]),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [low, high],
        "ratio_of_fastest": min(values["on"]) / min(values["off"]),
        "difference": statistics.median(
            on - off for off, on in zip(values["off"], values["on"])),
        "difference_of_fastest": min(values["on"]) - min(values["off"]),
    }


def as_on(result, mode):
    """What was measured in another mode, in the place of "on"."""
    def swapped(values):
        return {**values, "on": values[mode]}

    stats = result["run_stats"] if mode == "run" else result["stats"]
    return {**result, "served": (stats or {}).get("served", 0), "time": {key: swapped(values) for key, values in result["time"].items()},
            "memory": {count: swapped(memory) for count, memory in result["memory"].items()}}


def table(results):
    """Version, layout, time and memory as on to off, in Markdown: the first case of each interpreter."""
    lines = ["| CPython | address of the interpreter | %s: time | memory |"
             % next(r["cases"][0]["title"] for r in results if r["cases"]), "|---|---|---|---|"]
    for result in results:
        if not result["cases"]:
            continue
        layouts = [("on", "randomised" if result["randomised"] else "fixed")]
        if "run_stats" in result["cases"][0]:
            layouts.append(("run", "randomised, `pycdsctl run`"))
        for mode, layout in layouts:
            case = as_on(result["cases"][0], mode)
            wall = case["time"].get("wall_ms")
            memory = list(case["memory"].values())
            lines.append("| %s | %s | %s | %s |" % (
                result["version"], layout, "%.3f" % summary(wall)["ratio"] if wall else "",
                "%.3f" % memory_summary(memory[-1])["private_ratio"] if memory else ""))
    return "\n".join(lines) + "\n"


def memory_summary(memory):
    """Of {"off": [per process], "on": [...], "daemon": {...} , "image_kb": n} what one process has,
    what all have together with the daemon, and from how many processes on that is less.

    Together: what nobody shares with the image (Pss without its shmem part), and then the image
    once, whole, also the pages that no process has touched.
    """
    mean = {mode: {field: statistics.mean(process[field] for process in memory[mode])
                   for field in memory[mode][0]} for mode in ("off", "on")}
    fixed = memory["daemon"]["Pss"] - memory["daemon"]["Pss_Shmem"] + memory["image_kb"]
    each = {mode: mean[mode]["Pss"] - mean[mode]["Pss_Shmem"] for mode in mean}
    count = len(memory["on"])
    saved = each["off"] - each["on"]
    return {
        "mean": mean,
        "private_ratio": mean["on"]["Anonymous"] / mean["off"]["Anonymous"],
        "daemon_and_image_kb": fixed,
        "total_off_kb": each["off"] * count,
        "total_on_kb": each["on"] * count + fixed,
        "break_even": math.floor(fixed / saved) + 1 if saved > 0 else None,
    }


TIME_ROWS = (("wall_ms", "whole process, ms"), ("cpu_ms", "  its cpu time, ms"),
             ("import_ms", "import statement, ms"))


def kilobytes(value):
    return "%.0f" % value


def time_lines(result):
    for key, title in TIME_ROWS:
        if key in result["time"]:
            s = summary(result["time"][key])
            yield (title, "%.1f" % s["off"], "%.1f" % s["on"], "%.3f" % s["ratio"],
                   "%.2f-%.2f" % tuple(s["ratio_quartiles"]), "%.3f" % s["ratio_of_fastest"],
                   "%+.2f" % s["difference"])


def memory_lines(result):
    for count, memory in result["memory"].items():
        s = memory_summary(memory)
        off, on = s["mean"]["off"], s["mean"]["on"]
        yield ("private memory, kB (%s live)" % count, kilobytes(off["Anonymous"]),
               kilobytes(on["Anonymous"]), "%.3f" % s["private_ratio"], "", "",
               "%+.0f" % (on["Anonymous"] - off["Anonymous"]))
        yield ("  Pss, kB", kilobytes(off["Pss"]), kilobytes(on["Pss"]),
               "%.3f" % (on["Pss"] / off["Pss"]), "", "", "%+.0f" % (on["Pss"] - off["Pss"]))
        yield ("  all of them and the daemon, kB", kilobytes(s["total_off_kb"]),
               kilobytes(s["total_on_kb"]), "%.3f" % (s["total_on_kb"] / s["total_off_kb"]), "", "",
               "%+.0f" % (s["total_on_kb"] - s["total_off_kb"]))


def remarks(result):
    """What is no row of off and on."""
    yield "modules served: %d" % result["served"]
    if result["memory"]:
        s = memory_summary(list(result["memory"].values())[-1])
        yield ("daemon and image: %.0f kB; less memory together than without from %s"
               % (s["daemon_and_image_kb"],
                  "%d live processes on" % s["break_even"] if s["break_even"]
                  else "no number of processes on"))
    if result["case"] == "empty" and result["time"]:
        s = summary(result["time"]["wall_ms"])
        yield ("extra of an empty process: %+.2f ms (median of neighbours), %+.2f ms (fastest runs)"
               % (s["difference"], s["difference_of_fastest"]))


def print_lines(lines, numbers_from=1):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for number, line in enumerate(lines):
        cells = [cell.ljust(width) for cell, width in zip(line[:numbers_from], widths)]
        cells += [cell.rjust(width) for cell, width in zip(line[numbers_from:],
                                                           widths[numbers_from:])]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("-" * (sum(widths) + 2 * len(widths) - 2))


def print_case(result, version, mode="on"):
    head = ("%s, Python %s" % (result["title"], version), "off", mode, mode + "/off", "quartiles",
            "of fastest", "difference")
    lines = list(time_lines(result)) + list(memory_lines(result))
    if lines:
        print_lines([head] + lines)
    for text in remarks(result):
        print(text)
    print(flush=True)


def print_steady(variant, version, cases):
    """One line a case; those that the noise floor does not explain stand out."""
    lines = [("steady state, %s, Python %s" % (variant, version), "off, ns", "on, ns", "speed",
              "quartiles", "of fastest", "off/off", "")]
    summaries = {case: steady.summary(values, steady.copies_of(variant))
                 for case, values in cases.items()}
    for case, values in cases.items():
        s = summaries[case]
        slow = s["speed"] < 0.97 and s["speed_of_fastest"] < 0.97
        lines.append((case.replace("_", " "),
                      "%.1f" % statistics.median(values["off"]),
                      "%.1f" % statistics.median(values["on"]), "%.3f" % s["speed"],
                      "%.2f-%.2f" % tuple(s["speed_quartiles"]), "%.3f" % s["speed_of_fastest"],
                      "%.3f" % s["control"], "< 0.97" if slow else ""))
    print_lines(lines)
    def floor(key):
        return sorted(100 * abs(math.log(s[key])) for s in summaries.values())

    medians, fastest = floor("control"), floor("control_of_fastest")
    print("noise floor, off against off: medians differ by %.1f %% in the median case and up to "
          "%.1f %%, fastest runs by %.1f %% and up to %.1f %%\n"
          % (statistics.median(medians), medians[-1], statistics.median(fastest), fastest[-1]),
          flush=True)
