#!/usr/bin/python3
"""Runs the same servers in many languages against one load generator, and says how they compare.

Each round runs every server once, in a drawn order, the server on core 0 and the generator on core 1 (or both on core 0), in a network
namespace of their own. What is printed and plotted are medians over the rounds of each server's ratio to C in the same round: to the mean
of c_edge and c_control, which are the same program. How far these two are from each other is the noise. Quartiles say how much
the rounds differ, the interval how well their median is known. Rounds in which the two cores were not equally near to each other
at both ends are dropped. Results: OUT/results.json, OUT/results.md and OUT/*.svg.
"""

import argparse
import fcntl
import json
import math
import os
import random
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

REFERENCES = ["c_edge", "c_control"]  # one program twice: their mean is less noisy than either
NEAR_NS = 200  # a cache line passes in 80 ns between near cores, in 350 between far ones

# For the time that a server takes by itself: the generator looks for answers, up to a millisecond, before it sleeps.
AWAKE = ["--busy-poll", "1000"]

# name: (program, generator's mode and arguments, the figures' names there: rate and CPU per unit, unit)
SCENARIOS = {
    "echo-1": ("echo", ["ping-pong", "--connections", "1"], "messages_per_s", "cpu_us_per_message"),
    "echo-1-awake": ("echo", ["ping-pong", "--connections", "1", *AWAKE], "messages_per_s", "cpu_us_per_message"),
    "echo-64": ("echo", ["ping-pong", "--connections", "64"], "messages_per_s", "cpu_us_per_message"),
    "echo-512": ("echo", ["ping-pong", "--connections", "512"], "messages_per_s", "cpu_us_per_message"),
    "echo-512-one-core": ("echo", ["ping-pong", "--connections", "512"], "messages_per_s", "cpu_us_per_message"),
    "streaming": ("echo", ["streaming", "--connections", "4", *AWAKE], "bytes_per_s", "cpu_us_per_byte"),
    "churn": ("echo", ["churn", "--connections", "32"], "connections_per_s", "cpu_us_per_connection"),
    "fan-out": ("chat", ["fan-out", "--connections", "64"], "deliveries_per_s", "cpu_us_per_delivery"),
}
# Where the generator shares the server's core, so that what each of them costs is what limits the rate.
ONE_CORE = {"echo-512-one-core"}
COUNTED = {"echo-64": 20_000, "churn": 2_000, "fan-out": 200_000}  # for system calls: units of the shorter run


def command(out, peer, program, port):
    here = os.path.dirname(os.path.abspath(__file__))
    if peer == "node":
        return ["node", f"{here}/node/{program}.js", str(port)]
    if peer == "uvloop":
        return ["/usr/bin/python3", f"{here}/uvloop/{program}.py", str(port)]
    name = "c_edge" if peer == "c_control" else peer
    return [f"{out}/{name}/{program}", f"127.0.0.1:{port}" if peer == "cove" and program == "echo" else str(port)]


def has(out, peer, program):
    return os.path.exists(command(out, peer, program, 0)[-2])


class Server:
    """A server on core 0, or on those named, from start to end."""

    ports = iter(range(20_000, 60_000))

    def __init__(self, out, peer, program, prefix=(), arguments=(), cores="0"):
        self.port = next(self.ports)
        full = ["taskset", "-c", cores, *prefix, *command(out, peer, program, self.port), *arguments]
        environment = dict(os.environ, GOMAXPROCS="1")
        self.process = subprocess.Popen(full, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            time.sleep(0.02)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
        self.stop()
        raise RuntimeError(f"{peer}'s {program} server does not listen")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def load(self, out, arguments, with_pid=True, cores="1"):
        pid = ["--pid", str(self.process.pid)] if with_pid else []
        full = ["taskset", "-c", cores, f"{out}/load", arguments[0], str(self.port), *pid, *arguments[1:]]
        done = subprocess.run(full, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return json.loads(done.stdout)


def core_distance(out):
    return float(subprocess.run([f"{out}/core_distance"], capture_output=True, text=True, check=True).stdout)


def run_rounds(out, peers, scenarios, rounds, seconds):
    """Returns results[scenario][peer] = list of the generator's reports, one a round; None where it failed."""
    results = {scenario: {peer: [] for peer in peers} for scenario in scenarios}
    for round_number in range(rounds):
        for scenario in scenarios:
            program, arguments, rate, _ = SCENARIOS[scenario]
            order = [peer for peer in peers if has(out, peer, program)]
            random.shuffle(order)
            before = core_distance(out)
            found = {}
            for peer in order:
                server = Server(out, peer, program)
                try:
                    found[peer] = server.load(out, arguments + ["--seconds", str(seconds)], cores="0" if scenario in ONE_CORE else "1")
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    print(f"  {scenario} {peer}: {error}", file=sys.stderr)
                finally:
                    server.stop()
            after = core_distance(out)
            alike = (before < NEAR_NS) == (after < NEAR_NS)
            print(f"round {round_number + 1}/{rounds} {scenario}: cores {before:.0f} and {after:.0f} ns apart"
                  + ("" if alike else ", dropped"), file=sys.stderr, flush=True)
            if alike:
                for peer, report in found.items():
                    results[scenario][peer].append(dict(report, distance_ns=before))
                for peer in set(peers) - set(found):
                    results[scenario][peer].append(None)
    return results


def system_calls(out, peer, scenario):
    """Returns system calls a unit, by strace, of the difference between a longer and a shorter run."""
    program, arguments, _, _ = SCENARIOS[scenario]
    seen = []
    for count in (COUNTED[scenario], 3 * COUNTED[scenario]):
        log = f"{out}/strace.txt"
        server = Server(out, peer, program, ["strace", "-f", "-c", "-o", log])
        try:
            report = server.load(out, arguments + ["--count", str(count), "--seconds", "60"], with_pid=False)
        finally:
            children = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True).stdout.split()
            for child in children:
                os.kill(int(child), signal.SIGTERM)
            server.stop()
        with open(log, encoding="utf-8") as lines:
            total = re.search(r"^\s*100\.00\s+\S+\s+\S*\s*(\d+)\s+\d*\s*total$", lines.read(), re.M)
        seen.append((int(total.group(1)), report["units"]))
    return (seen[1][0] - seen[0][0]) / (seen[1][1] - seen[0][1])


def idle_bytes(out, peer):
    server = Server(out, peer, "echo")
    try:
        return server.load(out, ["idle", "--connections", "9000"])["bytes_per_connection"]
    finally:
        server.stop()


def ratios(results, scenario, peer, figure):
    """Returns the peer's ratio to the mean of the references, round by round."""
    references = [results[scenario][name] for name in REFERENCES if name in results[scenario]]
    found = []
    for mine, *bases in zip(results[scenario][peer], *references):
        if mine and bases and all(base and base.get(figure) for base in bases):
            found.append(mine[figure] / statistics.mean(base[figure] for base in bases))
    return found


def quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3


def interval(values):
    """Returns two of the values, between which 95 of 100 such samples have the true median."""
    ordered = sorted(values)
    outside = max(math.floor(len(ordered) / 2 - 0.98 * math.sqrt(len(ordered))), 0)
    return ordered[outside], ordered[-1 - outside]


def summary(values):
    """Returns the median, its interval and the quartiles, as cells of a table."""
    low, middle, high = quartiles(values)
    known_low, known_high = interval(values)
    return f"{middle:.3f} | {known_low:.3f} to {known_high:.3f} | {low:.3f} to {high:.3f}"


def table(results, scenario, peers):
    _, _, rate, cpu = SCENARIOS[scenario]
    lines = [f"### {scenario}", "",
             f"| server | {rate.replace('_', ' ')} | of C | 95 % interval | quartiles | CPU per unit, of C | 95 % interval | quartiles "
             "| p50 us | p99 us | p99.9 us |", "|---" * 11 + "|"]
    for peer in peers:
        reports = [report for report in results[scenario][peer] if report]
        rates, cpus = ratios(results, scenario, peer, rate), ratios(results, scenario, peer, cpu)
        if not rates:
            continue
        percentiles = [f"{statistics.median(r[p] for r in reports):.0f}" if p in reports[0] else ""
                       for p in ("p50_us", "p99_us", "p999_us")]
        lines.append(f"| {peer} | {statistics.median(r[rate] for r in reports):,.0f} | {summary(rates)} | {summary(cpus)} | "
                     + " | ".join(percentiles) + " |")
    return lines + [""]


def single_figures(extra, peers):
    lines = ["### One figure a server", "", "| server | bytes an idle connection | " +
             " | ".join(f"system calls, {scenario}" for scenario in COUNTED) + " | compile s | stripped KiB |", "|---" * (4 + len(COUNTED)) + "|"]
    for peer in peers:
        figures = extra.get(peer, {})
        cells = [f"{figures[name]:,.{digits}f}" if name in figures else ""
                 for name, digits in [("idle", 0), *((f"calls {scenario}", 2) for scenario in COUNTED), ("compile_s", 2), ("binary_kib", 0)]]
        if any(cells):
            lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    return lines + [""]


def pyplot():
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    import matplotlib.pyplot
    return matplotlib.pyplot


def plot(results, scenario, peers, out):
    plt = pyplot()
    _, _, rate, cpu = SCENARIOS[scenario]
    shown = [peer for peer in peers if ratios(results, scenario, peer, rate)]
    figure, axes = plt.subplots(1, 2, figsize=(10, 0.35 * len(shown) + 1.2), sharey=True)
    for axis, name, title in ((axes[0], rate, "rate: longer is better"), (axes[1], cpu, "CPU per unit: shorter is better")):
        values = [quartiles(ratios(results, scenario, peer, name)) for peer in shown]
        errors = [[q[1] - q[0] for q in values], [q[2] - q[1] for q in values]]
        colors = ["#c44" if peer == "cove" else "#999" if peer.startswith("c_") else "#48a" for peer in shown]
        axis.barh(shown, [q[1] for q in values], xerr=errors, color=colors, ecolor="#333", capsize=2)
        axis.axvline(1, color="#333", linewidth=0.8)
        axis.set_title(f"{scenario}, {title}", fontsize=9)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(f"{out}/{scenario}.svg")
    plt.close(figure)


def save(out, results, extra):
    with open(f"{out}/results.json", "w", encoding="utf-8") as file:
        json.dump({"results": results, "singles": extra}, file, indent=1)


def enter_namespace():
    """Goes on in a network namespace of its own, where the system lets us."""
    if os.environ.get("COVE_BENCH_NAMESPACE") is None:
        environment = dict(os.environ, COVE_BENCH_NAMESPACE="1")
        if subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL).returncode == 0:
            os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], environment)
        print("no network namespace: what others do on this machine's network may disturb the figures", file=sys.stderr)
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # lo up
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))
    # Other namespaces than the first may be refused all but reno. Without tcp_no_metrics_save connections begin with what the
    # kernel remembers of those to the server before.
    for name, values in {"tcp_congestion_control": ["cubic", "reno"], "tcp_no_metrics_save": ["1"], "tcp_max_tw_buckets": ["1000"],
                         "ip_local_port_range": ["1025 19999"]}.items():
        if not any(set_network(name, value) for value in values):
            print(f"{name} cannot be set", file=sys.stderr)


def set_network(name, value):
    try:
        with open(f"/proc/sys/net/ipv4/{name}", "w", encoding="utf-8") as setting:
            setting.write(value)
    except OSError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="where build.sh has put the servers; the results go there too")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--peers", default="cove,cove_busy_poll,c_edge,c_control,c_level,asio_callbacks,asio_coroutines,libuv,libevent,tokio,go,node,uvloop")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--no-singles", action="store_true", help="leave out memory and system calls")
    options = parser.parse_args()
    enter_namespace()
    out = os.path.abspath(options.out)
    peers = [peer for peer in options.peers.split(",") if has(out, peer, "echo")]
    scenarios = options.scenarios.split(",")
    extra = {}
    if os.path.exists(f"{out}/builds.txt"):
        with open(f"{out}/builds.txt", encoding="utf-8") as lines:
            for peer, _, seconds, _, size in map(str.split, lines):
                extra.setdefault(peer, {}).update(compile_s=float(seconds), binary_kib=float(size) / 1024)
    results = run_rounds(out, peers, scenarios, options.rounds, options.seconds)
    save(out, results, extra)

    for peer in peers if not options.no_singles else []:
        if peer == "c_control":
            continue
        figures = extra.setdefault(peer, {})
        try:
            figures["idle"] = idle_bytes(out, peer)
            for scenario in set(COUNTED) & set(scenarios):
                if has(out, peer, SCENARIOS[scenario][0]):
                    figures[f"calls {scenario}"] = system_calls(out, peer, scenario)
        except (RuntimeError, subprocess.TimeoutExpired, AttributeError) as error:
            print(f"  {peer}: {error}", file=sys.stderr)

    lines = []
    for scenario in scenarios:
        lines += table(results, scenario, peers)
        try:
            plot(results, scenario, peers, out)
        except ImportError:
            print("no matplotlib: no plots", file=sys.stderr)
    lines += single_figures(extra, peers)
    text = "\n".join(lines)
    with open(f"{out}/results.md", "w", encoding="utf-8") as file:
        file.write(text + "\n")
    save(out, results, extra)
    print(text)


if __name__ == "__main__":
    main()
