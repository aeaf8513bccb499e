"""The rounds: starts each server alone, loads it, reads its CPU, and hands plain numbers to report.py.

Every number of a server is a list with one entry a round, so that ratios can be taken within a round, where both sides
saw the same machine. Time is the limit: rounds go on until the budget of their phase is spent, at least one is run.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time

import report
import servers

HELD = (10, 1000, 8000)
KEY_GROWTH = ("oxinetd", "bare vfork", "tcpserver")
QUICK = ("oxinetd, root", "oxinetd", "bare vfork", "bare fork", "tcpserver", "xinetd", "openbsd-inetd")
ECHO_OPENED = 5000
MEMORY_HELD = 2000


class Group:
    """The processes of one server: their CPU time, and their end."""

    def __init__(self):
        self.kind, self.path = None, None
        for kind, parent, usage in (("cpuacct", "/sys/fs/cgroup/cpuacct", "cpuacct.usage"),
                                    ("cgroup2", "/sys/fs/cgroup/unified", "cpu.stat"),
                                    ("cgroup2", "/sys/fs/cgroup", "cpu.stat")):
            path = os.path.join(parent, f"oxinetd-bench-{os.getpid()}")
            with contextlib.suppress(OSError):
                os.mkdir(path)
                if os.path.exists(os.path.join(path, usage)):
                    self.kind, self.path = kind, path
                    return
                os.rmdir(path)

    def enter(self):
        """Runs in the child, before exec."""
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w") as procs:
                procs.write("0")

    def cpu(self, pid):
        """Seconds so far."""
        if self.kind == "cpuacct":
            return int(read(self.path + "/cpuacct.usage")) / 1e9
        if self.kind == "cgroup2":
            return int(read(self.path + "/cpu.stat").split()[1]) / 1e6
        fields = read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def pids(self):
        return [int(p) for p in read(self.path + "/cgroup.procs").split()] if self.path else []

    def kill(self, process):
        """Ends the server first, then every process that it left in the group."""
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()
        end = time.monotonic() + 20
        while (pids := self.pids()) and time.monotonic() < end:
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def close(self):
        if self.path:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)


def read(path):
    with open(path) as file:
        return file.read()


class Running:
    """A started server, ready for connections; ended on leaving the `with`."""

    def __init__(self, bench, server, workload):
        self.bench, self.server, self.workload = bench, server, workload

    def __enter__(self):
        bench = self.bench
        bench.last_port += 1
        self.port = self.server.port(self.workload, bench.last_port)
        argv = self.server.argv(self.workload, self.port)
        if argv is None:
            raise Missing("not installed")
        log = os.path.join(bench.work, "run", self.server.name.replace(" ", "-") + ".stderr")
        with open(log, "w") as stderr:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                                            preexec_fn=bench.group.enter, cwd="/", start_new_session=True)
        try:
            self.wait_ready(log)
        except Missing:
            bench.group.kill(self.process)
            raise
        return self

    def __exit__(self, *_):
        self.bench.group.kill(self.process)

    def wait_ready(self, log):
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                time.sleep(0.1)
                return
            time.sleep(0.01)
        raise Missing("does not start: " + read(log)[-300:].strip().replace("\n", " | "))

    def load(self, clients, count, seconds):
        """CPU us, connections/s, p50 and p99 us; None with a reason when nothing was served."""
        before = self.settled_cpu()
        words = self.bench.tool("run", self.port, clients, count, seconds)
        after = self.settled_cpu()
        done, errors, took, p50, p99 = int(words[0]), int(words[1]), *map(float, words[2:])
        if not done:
            raise Missing(f"serves nobody ({errors} failed)")
        return {"cpu": (after - before) / done * 1e6, "rate": done / took, "p50": p50, "p99": p99,
                "done": done, "errors": errors}

    def settled_cpu(self):
        """The CPU so far, once the last children are done."""
        last = -1.0
        for _ in range(40):
            now = self.bench.group.cpu(self.process.pid)
            if now - last < 0.0005:
                break
            last = now
            time.sleep(0.03)
        return now

    def hold(self, seconds):
        return Held(self.bench, self.port, seconds)

    def rss(self):
        """KiB of the daemon at rest: the group's processes, without a shell or child that already went."""
        total = 0
        for pid in self.bench.group.pids() or [self.process.pid]:
            with contextlib.suppress(OSError, AttributeError):
                total += int(re.search(r"VmRSS:\s+(\d+)", read(f"/proc/{pid}/status")).group(1))
        return total


class Held:
    """A client that keeps connections open until it is left."""

    def __init__(self, bench, port, seconds):
        self.process = subprocess.Popen([os.path.join(bench.work, "load"), "hold", str(port), str(seconds)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def open(self, total):
        """Held now, seconds, and the seconds of each 500."""
        self.process.stdin.write(f"{total}\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        return int(words[0]), float(words[2]), [float(w) for w in words[3:]]


class Missing(Exception):
    """A row that a server cannot reach; the text goes into the table."""


class Bench:
    def __init__(self, work, quick, only):
        self.work, self.quick = work, quick
        self.group = Group()
        self.last_port = 15000
        self.servers = [s for s in servers.everyone(work) if s.name in (only or (QUICK if quick else [s.name]))]
        self.results = {"load": {}, "growth": {}, "echo": {}, "memory": {}, "rss": {}, "start": {}, "notes": {}}

    def tool(self, *words):
        output = subprocess.run([os.path.join(self.work, "load"), *map(str, words)], stdout=subprocess.PIPE, text=True,
                                check=True).stdout
        return output.split()

    def note(self, server, workload, text):
        self.results["notes"].setdefault(f"{server.name} / {workload}", text)
        print(f"  {server.name} / {workload}: {text}", file=sys.stderr)

    def rows(self, *workloads):
        return [(s, w) for w in workloads for s in self.servers if w in s.workloads]

    def loads(self, budget):
        """Every server and workload with 16 and 64 clients, in rounds."""
        end = time.monotonic() + budget
        count = 700 if self.quick else 1500
        rounds, longest = 0, 0.0
        while rounds == 0 or time.monotonic() + longest < end:
            began = time.monotonic()
            # Forwards, then backwards: a drift of the machine hits both ends alike.
            rows = self.rows("tiny", "echo") if self.quick else self.rows("tiny", "echo", "cat")
            for server, workload in rows if rounds % 2 == 0 else reversed(rows):
                try:
                    with Running(self, server, workload) as running:
                        self.results["rss"].setdefault(server.name, running.rss())
                        for clients in (16, 64):
                            result = running.load(clients, count, 1.5)
                            if result["errors"]:
                                self.note(server, workload, f"{result['done']} served within 1.5 s, {result['errors']} not")
                            at = self.results["load"].setdefault(workload, {}).setdefault(server.name, {})
                            at.setdefault(str(clients), []).append(dict(result, round=rounds))
                except Missing as reason:
                    self.note(server, workload, str(reason))
            rounds += 1
            longest = max(longest, time.monotonic() - began)
            progress(f"load: round {rounds} took {time.monotonic() - began:.0f} s")
        return rounds

    def growth(self, budget):
        """CPU per connection at 10, 1,000 and 8,000 held: everybody once, then those that goals name, in rounds."""
        end = time.monotonic() + budget
        named = [r for r in self.rows("tiny") if r[0].name in KEY_GROWTH]
        others = [r for r in self.rows("tiny", "echo") if r not in named and not r[0].name.endswith(", root")]
        others += [r for r in self.rows("cat") if r[0].name in KEY_GROWTH]
        others = [] if self.quick else [r for r in self.rows("tiny") if r[0].name == "oxinetd, root"] + others
        rounds, longest = 0, 0.0
        for number in range(1 if self.quick else 4):
            began = time.monotonic()
            if number and began + longest > end:
                break
            for server, workload in named if number % 2 == 0 else reversed(named):
                self.climb(server, workload, number)
            rounds, longest = rounds + 1, time.monotonic() - began
            progress(f"growth: round {number + 1} took {longest:.0f} s")
            for server, workload in others:
                if time.monotonic() > end - 2 * longest:
                    self.note(server, f"{workload}, held", "no time left")
                else:
                    self.climb(server, workload, number)
            others = []
        return rounds

    def climb(self, server, workload, number):
        patience = 6 if self.quick else 10
        try:
            with Running(self, server, workload) as running, running.hold(patience) as held:
                at = self.results["growth"].setdefault(workload, {}).setdefault(server.name, [])
                for wanted in HELD:
                    reached, _, _ = held.open(wanted)
                    result = running.load(16, 400 if self.quick else 800, 3)
                    at.append(dict(result, wanted=wanted, held=reached, round=number))
                    if reached < wanted:
                        self.note(server, f"{workload}, {wanted} held", f"reached {reached} in {patience} s")
                        return
        except Missing as reason:
            self.note(server, workload, str(reason))

    def echo(self, rounds):
        """Memory of a held echo connection, and whether 5,000 are opened at an even pace."""
        rows = [(s, w) for s, w in self.rows("echo") if s.name in ("oxinetd", "bare fork", "xinetd")]
        for number in range(rounds):
            for server, workload in rows:
                with contextlib.suppress(Missing), Running(self, server, workload) as running, running.hold(15) as held:
                    time.sleep(0.5)  # what the server before this one held is given back late
                    before = slab()
                    count, _, _ = held.open(MEMORY_HELD)
                    time.sleep(0.3)
                    user, tables, stacks = (part / max(count, 1) for part in self.own_memory())
                    kernel = (slab() - before) / max(count, 1)
                    self.results["memory"].setdefault(server.name, []).append(
                        {"held": count, "all_kib": user + tables + stacks + kernel, "user_kib": user,
                         "tables_kib": tables, "stacks_kib": stacks, "kernel_kib": kernel, "round": number})
                with contextlib.suppress(Missing), Running(self, server, workload) as running, running.hold(15) as held:
                    count, seconds, batches = held.open(ECHO_OPENED)
                    self.results["echo"].setdefault(server.name, []).append(
                        {"held": count, "seconds": seconds, "batches": batches, "round": number})

    def own_memory(self):
        """KiB of all processes: their share of pages, page tables, kernel stacks of 16 KiB."""
        user, tables, stacks = 0, 0, 0
        for pid in self.group.pids():
            with contextlib.suppress(OSError, AttributeError):
                user += int(re.search(r"\nPss:\s+(\d+)", read(f"/proc/{pid}/smaps_rollup")).group(1))
                tables += int(re.search(r"VmPTE:\s+(\d+)", read(f"/proc/{pid}/status")).group(1))
                stacks += 16
        return user, tables, stacks

    def starts(self, rounds):
        """Milliseconds from exec to READY, and RSS, with many services."""
        server = next((s for s in self.servers if s.name == "oxinetd"), None)
        if server is None:
            return
        for count in (1, 100, 10000):
            table = server.file(f"-{count}.toml", servers.oxinetd_table(
                [servers.oxinetd_service(f"s{i}", 20000 + i, f'command = ["/bin/cat"]\n{servers.FULL}')
                 for i in range(count)]))
            for _ in range(rounds):
                ready, told = os.pipe()
                cpu = self.group.cpu("self")
                with open(os.path.join(self.work, "run", "start.stderr"), "w") as stderr:
                    began = time.monotonic()
                    process = subprocess.Popen(
                        [os.path.join(self.work, "oxinetd"), "run", "--config", table, "--ready-fd", str(told)],
                        stderr=stderr, stdin=subprocess.DEVNULL, pass_fds=[told], preexec_fn=self.group.enter, cwd="/")
                os.close(told)
                came = select.select([ready], [], [], 20)[0] and os.read(ready, 64)
                took = (time.monotonic() - began) * 1e3
                if came:
                    cpu = (self.group.cpu(process.pid) - (cpu if self.group.path else 0)) * 1e3
                    time.sleep(0.2)
                    rss = int(re.search(r"VmRSS:\s+(\d+)", read(f"/proc/{process.pid}/status")).group(1))
                    self.results["start"].setdefault(str(count), []).append(
                        {"ms": took, "cpu_ms": cpu, "rss_kib": rss})
                else:
                    self.note(server, f"start with {count}", "never became ready")
                os.close(ready)
                self.group.kill(process)


def slab():
    """KiB of kernel objects, the sockets of both ends among them. Compilers beside us hardly change it."""
    return int(re.search(r"SUnreclaim:\s+(\d+)", read("/proc/meminfo")).group(1))


def progress(text):
    print("bench: " + text, file=sys.stderr)


def loopback_up():
    """The namespace starts with a loopback that is down; and 10,000 services need the ports below the ephemeral."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = fcntl.ioctl(s, 0x8913, struct.pack("16sh14x", b"lo", 0))  # SIOCGIFFLAGS
        flags = struct.unpack("16sh14x", request)[1]
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))  # SIOCSIFFLAGS, IFF_UP


def machine(commit):
    model = re.search(r"model name\s*:\s*(.*)", read("/proc/cpuinfo"))
    name = os.uname()
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit, "kernel": f"{name.sysname} {name.release} {name.machine}",
            "cpu": model.group(1) if model else name.machine, "cores": os.cpu_count(),
            "load": read("/proc/loadavg").split()[0]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", type=lambda names: [n.strip() for n in names.split(";")])
    for name in ("--table", "--svg", "--json", "--tsv"):
        parser.add_argument(name)
    options = parser.parse_args()

    os.makedirs(os.path.join(options.work, "run"), exist_ok=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    loopback_up()
    began = time.monotonic()
    bench = Bench(options.work, options.quick, options.only)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that `with` and `finally` end what runs
    try:
        results = bench.results
        results["machine"] = machine(options.commit)
        results["rounds"] = {"load": bench.loads(25 if options.quick else 190)}
        bench.starts(2 if options.quick else 5)
        bench.echo(1 if options.quick else 3)
        results["rounds"]["growth"] = bench.growth(30 if options.quick else 230)
    finally:
        bench.group.close()
    results["machine"]["load_end"] = read("/proc/loadavg").split()[0]
    results["seconds"] = round(time.monotonic() - began)
    results["cpu_by"] = bench.group.kind or "proc"
    print(report.text(results))
    if options.table:
        with open(options.table, "w") as out:
            out.write(report.text(results) + "\n")
    if options.json:
        with open(options.json, "w") as out:
            json.dump(results, out, indent=1)
    if options.tsv:
        with open(options.tsv, "w") as out:
            out.write(report.tsv(results))
    if options.svg:
        with open(options.svg, "w") as out:
            out.write(report.svg(results))


if __name__ == "__main__":
    main()
