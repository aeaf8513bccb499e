"""Echo in the three models, beside the echo of the peers and bare C servers: what `tests/bench/models` runs.

CPU is that of the server and all its children, for a connection (32 bytes out and back, 16 clients). A stream goes
through an echo and back; its throughput counts the bytes once. Memory is the growth of PSS (user pages), page tables
and kernel stacks of all processes of the server, with idle clients held open. Slow readers have sent more than
they take and wait. All rows go through a phase before the next phase begins, in rounds, forwards and backwards, so that
a ratio is taken within a round, where both sides saw the same machine.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from html import escape
from math import log10
from statistics import median

import report
import servers
from measure import Bench, Missing, Running, loopback_up, machine, progress, slab

PEERS = ("xinetd", "openbsd-inetd", "inetutils-inetd")
OURS = ("oxinetd process", "oxinetd event", "oxinetd thread")
FILES = 40_000


def echo(model):
    def make(server, workload, port):
        body = f'builtin = "echo"\nmodel = "{model}"\nuser = "{servers.ACCOUNT}"\n'
        table = server.file(".toml", servers.oxinetd_table([servers.oxinetd_service(workload, port, body)]))
        return [os.path.join(server.work, "oxinetd"), "run", "--config", table]

    return make


def rows(work):
    ours = [servers.Server(f"oxinetd {model}", work, echo(model), ("echo",)) for model in ("process", "event", "thread")]
    bare = [servers.Server(f"bare {kind}", work, servers.bare(kind, "bare-static"), ("echo",))
            for kind in ("fork", "thread", "epoll")]
    return [*ours, *bare, *(server for server in servers.everyone(work) if server.name in PEERS)]


class Models(Bench):
    def __init__(self, work, quick):
        super().__init__(work, quick, None)
        self.servers = rows(work)
        self.results = {what: {} for what in ("load", "stream", "streams", "memory", "slow", "notes")}

    def phase(self, what, rounds, measure):
        for number in range(rounds):
            began = time.monotonic()
            for server in self.servers if number % 2 == 0 else reversed(self.servers):
                try:
                    with Running(self, server, "echo") as running:
                        entry = measure(running)
                        self.results[what].setdefault(server.name, []).append(dict(entry, round=number))
                except Missing as reason:
                    self.note(server, what, str(reason))
            progress(f"{what}: round {number + 1} took {time.monotonic() - began:.0f} s")

    def load(self, running):
        return running.load(16, 1000 if self.quick else 4000, 4)

    def stream(self, count, size):
        def measure(running):
            words = self.tool("stream", running.port, count, size // count, 60)
            done, seconds = int(words[0]), float(words[1])
            if done < count:
                raise Missing(f"{done} of {count} streams came back whole")
            return {"rate": size / seconds / 2**30}

        return measure

    def idle(self, running):
        """KiB for each idle client, and how many there were after 25 s."""
        with running.hold(25) as held:
            held.open(100)
            before, kernel = self.own_memory(), slab()
            count, _, _ = held.open(100 + (2_000 if self.quick else 10_000))
            time.sleep(0.5)
            count -= 100
            user, tables, stacks = ((after - b) / max(count, 1) for after, b in zip(self.own_memory(), before))
            return {"held": count, "user": user, "all": user + tables + stacks, "kernel": (slab() - kernel) / max(count, 1)}

    def slow(self, running):
        """p99 of others while 1,000 slow readers are there."""
        tool = os.path.join(self.work, "load")
        with subprocess.Popen([tool, "slow", str(running.port), "1000", "30"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as readers:
            try:
                count = int(readers.stdout.readline().split()[0])
                result = running.load(16, 300 if self.quick else 1500, 8)
            finally:
                readers.stdin.close()
        return dict(result, readers=count)


# The report -----------------------------------------------------------------------------------------------------------


def middle(r, what, name, key):
    return report.middle(r[what].get(name, []), key)


COLUMNS = (("load", "cpu", "CPU us / connection", 1), ("load", "rate", "connections/s", 0),
           ("stream", "rate", "1 stream GiB/s", 2), ("streams", "rate", "100 streams GiB/s", 2),
           ("memory", "user", "user KiB / idle client", 2), ("memory", "all", "with tables and stacks", 2),
           ("memory", "held", "idle clients", 0), ("slow", "p99", "p99 us, 1,000 slow readers", 0))

GOALS = (("event: CPU of bare epoll", "load", "cpu", "oxinetd event", "bare epoll", 1.8, False),
         ("event: CPU of xinetd", "load", "cpu", "oxinetd event", "xinetd", 0.1, False),
         ("process: CPU of bare static fork", "load", "cpu", "oxinetd process", "bare fork", 1.1, False),
         *((f"{model}: one stream of {other}", "stream", "rate", f"oxinetd {model}", other, limit, True)
           for model in ("process", "event", "thread")
           for other, limit in (("bare fork", 0.9), *((peer, 1.0) for peer in PEERS))))


def text(r, names):
    table = report.table(["echo", *(title for _, _, title, _ in COLUMNS)],
                         [[name, *(report.number(middle(r, what, name, key), digits) for what, key, _, digits in COLUMNS)]
                          for name in names])
    goals = []
    for title, what, key, ours, theirs, limit, least in GOALS:
        ratios = report.pairs(r[what].get(ours, []), r[what].get(theirs, []), key)
        if ratios:
            met = median(ratios) >= limit if least else median(ratios) <= limit
            goals.append([title, f"{'at least' if least else 'at most'} {limit:g}x",
                          f"{median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})", "met" if met else "NOT MET"])
    user = middle(r, "memory", "oxinetd event", "user")
    if user is not None:
        goals.append(["event: user memory for an idle client", "at most 2 KiB", f"{user:.2f} KiB",
                      "met" if user <= 2 else "NOT MET"])
    m = r["machine"]
    head = f"{m['date']}, {m['commit']}; {m['cpu']}, {m['cores']} cores, {m['kernel']}; load average {m['load']} before"
    parts = [head, table, report.table(["goal", "", "median ratio (lowest to highest)", ""], goals)]
    if r["notes"]:
        parts.append("\n".join(f"- {who}: {what}" for who, what in r["notes"].items()))
    return "\n\n".join(parts) + "\n"


PANELS = (("load", "cpu", "CPU for a connection, us (log)", True), ("stream", "rate", "one stream, GiB/s", False),
          ("memory", "all", "memory for an idle client, KiB (log)", True),
          ("slow", "p99", "p99 beside 1,000 slow readers, us (log)", True))


def svg(r, names):
    """Four panels of bars, one row for each server in all of them."""
    left, bar, gap, width, top = 130, 15, 7, 230, 70
    height = top + len(names) * (bar + gap) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + len(PANELS) * width} {height}" '
           'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="#fff"/>',
           '<text x="12" y="22" font-size="15" fill="#222">One echo service, served in three ways</text>',
           f'<text x="12" y="40" fill="#666">{escape(r["machine"]["date"])}, {escape(r["machine"]["cpu"])}, '
           f'{r["machine"]["cores"]} cores, {escape(r["machine"]["kernel"])}; shorter is better, but for the stream</text>']
    for row, name in enumerate(names):
        y = top + row * (bar + gap)
        weight = "bold" if name in OURS else "normal"
        out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end" fill="#222" font-weight="{weight}">{escape(name)}</text>')
    for column, (what, key, title, logarithmic) in enumerate(PANELS):
        x = left + column * width
        values = {name: middle(r, what, name, key) for name in names}
        known = [value for value in values.values() if value and value > 0]
        if not known:
            continue
        low, high = log10(min(known) / 2), log10(max(known))
        out.append(f'<text x="{x}" y="{top - 10}" fill="#444">{escape(title)}</text>')
        for row, name in enumerate(names):
            value, y = values[name], top + row * (bar + gap)
            if not value or value <= 0:
                out.append(f'<text x="{x + 4}" y="{y + 12}" fill="#999">-</text>')
                continue
            share = (log10(value) - low) / (high - low) if logarithmic else value / max(known)
            length = max(2, share * (width - 80))
            colour = "#c8321e" if name in OURS else "#222" if name.startswith("bare") else "#9aa3ad"
            said = f"{value:,.0f}" if value >= 100 else f"{value:,.2f}" if value < 10 else f"{value:,.1f}"
            out.append(f'<rect x="{x}" y="{y}" width="{length:.1f}" height="{bar}" fill="{colour}"/>'
                       f'<text x="{x + length + 5:.1f}" y="{y + 12}" fill="#444">{said}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--directory", required=True)
    options = parser.parse_args()
    os.makedirs(os.path.join(options.work, "run"), exist_ok=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, max(hard, FILES)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    loopback_up()
    bench = Models(options.work, options.quick)
    size = (1 << 28) if options.quick else (1 << 30)
    names = [server.name for server in bench.servers]
    try:
        bench.results["machine"] = machine(options.commit)
        bench.phase("load", 3 if options.quick else 9, bench.load)
        bench.phase("stream", 1 if options.quick else 5, bench.stream(1, size))
        bench.phase("streams", 1 if options.quick else 3, bench.stream(100, size))
        bench.phase("slow", 1 if options.quick else 3, bench.slow)
        bench.phase("memory", 1, bench.idle)
    finally:
        bench.group.close()
    for name, content in (("models.md", text(bench.results, names)), ("models.svg", svg(bench.results, names)),
                          ("models.json", json.dumps(bench.results, indent=1))):
        with open(os.path.join(options.directory, name), "w") as out:
            out.write(content)
    print(text(bench.results, names))


if __name__ == "__main__":
    sys.exit(main())
