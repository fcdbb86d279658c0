#!/usr/bin/python3
"""Measures how cove's costs grow with how much there is of something, and plots them.

Connections (64 of them active) and members of a chat room: the servers of bench/peers, against c_edge, by its load generator; each
point is the median of some rounds. Timers and tasks: cove_bench. Loops: one against two, of a server that computes for each
message. Results: OUT/growth.md and OUT/growth-*.svg.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare

CONNECTIONS = [1, 10, 64, 300, 1_000, 3_000, 10_000]
MEMBERS = [10, 30, 100, 300, 1_000, 2_000]
SERVERS = ["cove", "c_edge"]


def of_servers(out, program, points, arguments, figure, rounds):
    """Returns found[server][point] = (median of the rate, median of the CPU time a unit)."""
    seen = {server: {point: [] for point in points} for server in SERVERS}
    for round_number in range(rounds):
        for point in points:
            for name in SERVERS:
                server = compare.Server(out, name, program)
                try:
                    seen[name][point].append(server.load(out, arguments(point) + ["--seconds", "1"]))
                finally:
                    server.stop()
        print(f"{program}: round {round_number + 1}/{rounds}", file=sys.stderr, flush=True)
    rate, cpu = figure + "s_per_s", "cpu_us_per_" + figure
    if figure == "delivery":
        rate = "deliveries_per_s"
    return {name: {point: (statistics.median(r[rate] for r in reports), statistics.median(r[cpu] for r in reports))
                   for point, reports in points_seen.items()} for name, points_seen in seen.items()}


def of_benchmarks(bench, pattern):
    """Returns found[benchmark][argument] = (ns an item, bytes an item or None)."""
    done = subprocess.run(["taskset", "-c", "1", bench, f"--benchmark_filter={pattern}", "--benchmark_min_time=0.1",
                           "--benchmark_repetitions=3", "--benchmark_format=json"], capture_output=True, text=True, check=True)
    found = {}
    for run in json.loads(done.stdout)["benchmarks"]:
        if run.get("aggregate_name") != "median":
            continue
        name, argument = run["run_name"].split("/")[:2]
        each = 1e9 / run["items_per_second"] if "items_per_second" in run else run["cpu_time"]
        found.setdefault(name, {})[int(argument)] = (each, run.get("bytes_each"))
    return found


def of_loops(out, rounds):
    """Returns messages a second of one loop and of two, and of the generator's CPU time a message in us with two."""
    rates = {1: [], 2: []}
    generator = []
    for _ in range(rounds):
        for loops in rates:
            server = compare.Server(out, "cove_with_work", "echo", arguments=[str(loops)], cores="0,1")
            try:
                before = os.times()
                report = server.load(out, ["ping-pong", "--connections", "64", "--seconds", "2"], cores="0,1")
                after = os.times()
            finally:
                server.stop()
            rates[loops].append(report["messages_per_s"])
            if loops == 2:
                used = after.children_user + after.children_system - before.children_user - before.children_system
                generator.append(used * 1e6 / report["units"])
    return statistics.median(rates[1]), statistics.median(rates[2]), statistics.median(generator)


def plot(out, name, title, unit, curves):
    plt = compare.pyplot()
    figure, axis = plt.subplots(figsize=(6, 3.2))
    for label, points in curves.items():
        axis.plot(list(points), list(points.values()), marker="o", label=label)
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.set_title(title, fontsize=10)
    axis.set_ylabel(unit)
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(f"{out}/growth-{name}.svg")
    plt.close(figure)


def report_to(path):
    """Returns what prints a line and adds it to the file, which begins empty."""
    file = open(path, "w", encoding="utf-8")

    def say(line):
        print(line, flush=True)
        print(line, file=file, flush=True)

    return say


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="where build.sh has put the servers; the results go there too")
    parser.add_argument("bench", help="cove_bench")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    compare.enter_namespace()
    out = os.path.abspath(options.out)
    say = report_to(f"{out}/growth.md")

    echo = of_servers(out, "echo", CONNECTIONS, lambda n: ["ping-pong", "--connections", str(min(n, 64)), "--idle", str(max(n - 64, 0))],
                      "message", options.rounds)
    chat = of_servers(out, "chat", MEMBERS, lambda n: ["fan-out", "--connections", str(n)], "delivery", options.rounds)
    for name, what, found in [("connections", "connections, 64 of them active", echo), ("members", "members of a chat room", chat)]:
        unit = "delivery" if name == "members" else "message"
        say(f"| {what} | " + " | ".join(f"{s}: {u}" for s in SERVERS for u in (f"{unit} per s", f"CPU us per {unit}")) + " |")
        say("|---" * (1 + 2 * len(SERVERS)) + "|")
        for point in found[SERVERS[0]]:
            say(f"| {point:,} | " + " | ".join(f"{found[s][point][0]:,.0f} | {found[s][point][1]:.2f}" for s in SERVERS) + " |")
        say("")
        plot(out, name, f"{what}: CPU us per {unit}", "us", {s: {p: v[1] for p, v in found[s].items()} for s in SERVERS})

    one, two, generator = of_loops(out, options.rounds)
    say(f"Loops: one {one:,.0f}, two {two:,.0f} messages a second: {two / one:.2f} times; the generator takes {generator:.1f} us of CPU a message.")
    say("")

    micro = of_benchmarks(options.bench, "^(timer_set_and_cancel|timer_set_and_expire|tasks_alive|yield_among)/")
    say("| how many | " + " | ".join(f"{name}, ns each" for name in micro) + " | bytes a task |")
    say("|---" * (2 + len(micro)) + "|")
    for point in sorted({point for found in micro.values() for point in found}):
        cells = [f"{found[point][0]:.1f}" if point in found else "" for found in micro.values()]
        held = micro["tasks_alive"].get(point, (0, None))[1]
        say(f"| {point:,} | " + " | ".join(cells) + (f" | {held:.0f} |" if held and point >= 1000 else " | |"))
    plot(out, "timers-and-tasks", "timers pending, tasks alive: ns each", "ns",
         {name: {p: v[0] for p, v in found.items() if p > 0} for name, found in micro.items()})


if __name__ == "__main__":
    main()
