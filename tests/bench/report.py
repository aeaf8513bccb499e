"""What the rounds say: tables in Markdown, goals as ratios, TSV, and the growth curve as SVG.

A figure is the median over the rounds; a ratio is the median of the ratios within each round, with the lowest and the
highest behind it. Nothing is measured here.
"""

from html import escape
from math import log10
from statistics import median

OURS, OURS_ROOT, VFORK = "oxinetd", "oxinetd, root", "bare vfork"


def text(r):
    m = r["machine"]
    parts = [
        f"{m['date']}, {m['commit']}; {m['cpu']}, {m['cores']} cores, {m['kernel']}; load average {m['load']} before, "
        f"{m['load_end']} after; {r['rounds']['load']} and {r['rounds']['growth']} rounds in {r['seconds']} s, CPU by {r['cpu_by']}",
        "## Goals", goals_table(r), "## Each server", load_table(r), "## With connections held", growth_table(r),
        "## Memory and start", memory_table(r),
    ]
    if r["notes"]:
        parts += ["## Notes", "\n".join(f"- {who}: {what}" for who, what in r["notes"].items())]
    return "\n\n".join(parts)


def table(head, rows):
    rows = [[str(c) for c in row] for row in [head, *rows]]
    width = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, width))) + " |"
             for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(width)) + "|")
    return "\n".join(lines)


def middle(entries, key):
    return median(e[key] for e in entries) if entries else None


def number(value, digits=0):
    return "-" if value is None else f"{value:,.{digits}f}"


def load_table(r):
    rows = []
    for workload, by_server in r["load"].items():
        for name, at in by_server.items():
            one, many = at.get("16", []), at.get("64", [])
            rows.append([f"{name} / {workload}", number(middle(one, "cpu")), number(middle(many, "cpu")),
                         number(middle(one, "rate")), number(middle(many, "rate")), number(middle(one, "p50")),
                         number(middle(one, "p99")), number(r["rss"].get(name))])
    return table(["server / program", "CPU us, 16", "CPU us, 64", "conn/s, 16", "conn/s, 64", "p50 us", "p99 us",
                  "RSS KiB"], rows)


def at_held(r, workload, name, wanted):
    """Entries that reached what was wanted."""
    return [e for e in r["growth"].get(workload, {}).get(name, []) if e["wanted"] == wanted and e["held"] >= wanted]


def growth_table(r):
    rows = []
    for workload, by_server in r["growth"].items():
        for name, entries in by_server.items():
            cells = []
            for wanted in (10, 1000, 8000):
                good = at_held(r, workload, name, wanted)
                short = [e for e in entries if e["wanted"] == wanted and e["held"] < wanted]
                if good:
                    cells += [number(middle(good, "cpu")), number(middle(good, "rate"))]
                elif short:
                    cells += [f"{short[0]['cpu']:,.0f} (at {short[0]['held']:,})", number(short[0]["rate"])]
                else:
                    cells += ["-", "-"]
            rows.append([f"{name} / {workload}", *cells])
    return table(["server / program", "CPU us, 10", "conn/s", "CPU us, 1,000", "conn/s", "CPU us, 8,000", "conn/s"], rows)


def memory_table(r):
    rows = [[f"held echo connection, {name}", f"{middle(e, 'all_kib'):,.0f} KiB",
             f"{middle(e, 'own_kib'):,.0f} KiB are pages, tables and stacks; {e[0]['held']:,} held"]
            for name, e in r["memory"].items()]
    rows += [[f"{name} opens 5,000 held echo connections", f"{middle(e, 'seconds'):,.2f} s", f"{e[0]['held']:,} reached"]
             for name, e in r["echo"].items()]
    rows += [[f"oxinetd starts with {count} service{'s' if count != '1' else ''}", f"{middle(e, 'ms'):,.1f} ms",
              f"RSS {middle(e, 'rss_kib'):,.0f} KiB"] for count, e in r["start"].items()]
    return table(["", "median", "and"], rows)


# Goals ----------------------------------------------------------------------------------------------------------------


def pairs(ours, theirs, key):
    """Ratios within each round."""
    other = {e["round"]: e[key] for e in theirs}
    return [e[key] / other[e["round"]] for e in ours if other.get(e["round"])]


def goals(r):
    """(what, goal as text, ratios, predicate)."""
    def load(name, workload="tiny", clients="16"):
        return r["load"].get(workload, {}).get(name, {}).get(clients, [])

    def held(name, wanted):
        return at_held(r, "tiny", name, wanted)

    def cpu(what, limit, ours, theirs):
        return what, f"at most {limit:.2f}x", pairs(ours, theirs, "cpu"), lambda x: x <= limit

    full = load(OURS)
    yield cpu("CPU, tiny, root without limits, against tcpserver", 0.6, load(OURS_ROOT), load("tcpserver"))
    yield cpu("CPU, tiny, full set-up, against tcpserver without any", 0.7, full, load("tcpserver"))
    yield cpu("CPU, full set-up, 8,000 live, against tcpserver with as many", 0.2, held(OURS, 8000), held("tcpserver", 8000))
    yield cpu("CPU, full set-up, against xinetd (user nobody)", 0.3, full, load("xinetd"))
    yield cpu("CPU, full set-up, against openbsd-inetd (user nobody)", 0.3, full, load("openbsd-inetd"))
    yield cpu("CPU, full set-up, against the bare vfork loop", 1.0, full, load(VFORK))
    yield cpu("CPU, full set-up, 8,000 live, against the bare vfork loop", 1.0, held(OURS, 8000), held(VFORK, 8000))
    for clients in ("16", "64"):
        peers = {n: middle(at.get(clients, []), "rate") or 0 for n, at in r["load"].get("tiny", {}).items()
                 if not n.startswith(("bare", "oxinetd"))}
        best = max(peers, key=peers.get, default=None)
        for name, said in ((OURS_ROOT, "root"), (OURS, "full set-up")):
            yield (f"connections/s, {clients} clients, {said}, against the best peer ({best})", "more than 1.00x",
                   pairs(load(name, clients=clients), load(best, clients=clients), "rate"), lambda x: x > 1)
    yield cpu("CPU, 8,000 held, against 10 held", 1.15, held(OURS, 8000), held(OURS, 10))
    yield cpu("built-in echo (process) against xinetd's", 0.35, load(OURS, "echo"), load("xinetd", "echo"))
    even = [e["batches"][-1] / e["batches"][0] for e in r["echo"].get(OURS, []) if len(e["batches"]) >= 10]
    yield "opening 5,000 held echo: last 500 against first 500", "at most 1.30x", even, lambda x: x <= 1.3
    rss = [e["rss_kib"] / 1024 for e in r["start"].get("1", [])]
    yield "RSS at rest, MiB", "at most 3 MiB", rss, lambda x: x <= 3
    yield ("held echo connection, all told, KiB", "at most 120 KiB", [e["all_kib"] for e in r["memory"].get(OURS, [])],
           lambda x: x <= 120)
    for count, limit in (("100", 10), ("10000", 500)):
        yield (f"start with {int(count):,} services, ms", f"under {limit} ms", [e["ms"] for e in r["start"].get(count, [])],
               lambda x, limit=limit: x < limit)


def goals_table(r):
    rows = []
    for what, goal, ratios, met in goals(r):
        if not ratios:
            rows.append([what, goal, "-", "", "not measured"])
            continue
        value = median(ratios)
        unit = "x" if goal.endswith("x") else ""
        digits = 2 if value < 10 else 0
        rows.append([what, goal, f"{value:.{digits}f}{unit}", f"{min(ratios):.{digits}f}-{max(ratios):.{digits}f}",
                     "met" if met(value) else "missed"])
    return table(["", "goal", "here", "rounds", ""], rows)


# Files ----------------------------------------------------------------------------------------------------------------


def tsv(r):
    lines = ["kind\tserver\tprogram\tclients\theld\tround\tcpu_us\tconn_per_s\tp50_us\tp99_us\tdone\terrors"]

    def line(kind, name, workload, clients, held, e):
        lines.append("\t".join(map(str, [kind, name, workload, clients, held, e["round"], round(e["cpu"], 1),
                                         round(e["rate"], 1), e["p50"], e["p99"], e["done"], e["errors"]])))

    for workload, by_server in r["load"].items():
        for name, at in by_server.items():
            for clients, entries in at.items():
                for e in entries:
                    line("load", name, workload, clients, 0, e)
    for workload, by_server in r["growth"].items():
        for name, entries in by_server.items():
            for e in entries:
                line("growth", name, workload, 16, e["held"], e)
    return "\n".join(lines) + "\n"


COLOURS = ["#7b6d8d", "#8a5a44", "#4f7a5b", "#9a7d2e", "#4b6c8f", "#8f4b6c", "#5f7d7d", "#6b6b3a", "#a06a50", "#555f9a"]


def svg(r):
    """CPU for a connection against connections held, both axes logarithmic; names stand at the ends of their lines."""
    curves = {}
    for name, entries in r["growth"].get("tiny", {}).items():
        by_held = {}
        for e in entries:
            by_held.setdefault(e["held"], []).append(e["cpu"])
        curves[name] = sorted((max(h, 1), median(c)) for h, c in by_held.items())
    width, height, left, right, top, bottom = 860, 520, 70, 230, 56, 56
    values = [v for points in curves.values() for _, v in points] or [100, 1000]
    low, high = log10(min(values) * 0.8), log10(max(values) * 1.2)

    def x(held):
        return left + (log10(held) - 1) / (log10(8000) - 1) * (width - left - right)

    def y(cpu):
        return height - bottom - (log10(cpu) - low) / (high - low) * (height - top - bottom)

    m = r["machine"]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="{left}" y="22" font-size="15" fill="#222">CPU for one more connection, by connections held (a tiny program for each)</text>',
           f'<text x="{left}" y="40" fill="#666">{escape(m["date"])}, {escape(m["cpu"])}, {m["cores"]} cores, '
           f'{escape(m["kernel"])}; server and children together</text>']
    for cpu in (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000):
        if low <= log10(cpu) <= high:
            out.append(f'<line x1="{left}" x2="{width - right}" y1="{y(cpu):.1f}" y2="{y(cpu):.1f}" stroke="#e4e4e4"/>'
                       f'<text x="{left - 8}" y="{y(cpu) + 4:.1f}" text-anchor="end" fill="#444">{cpu:,}</text>')
    for held in (10, 100, 1000, 8000):
        out.append(f'<line x1="{x(held):.1f}" x2="{x(held):.1f}" y1="{top}" y2="{height - bottom}" stroke="#e4e4e4"/>'
                   f'<text x="{x(held):.1f}" y="{height - bottom + 18}" text-anchor="middle" fill="#444">{held:,}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 14}" text-anchor="middle" fill="#444">connections held</text>'
               f'<text transform="translate(18 {height / 2}) rotate(-90)" text-anchor="middle" fill="#444">microseconds</text>')
    ends = []
    for i, (name, points) in enumerate(curves.items()):
        ours, limit = name.startswith("oxinetd"), name.startswith("bare")
        colour = "#c8321e" if ours else "#222" if limit else COLOURS[i % len(COLOURS)]
        dash = ' stroke-dasharray="5 4"' if limit or name == OURS_ROOT else ""
        path = " ".join(f"{x(h):.1f},{y(c):.1f}" for h, c in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{3 if ours else 1.6}"{dash}/>')
        out += [f'<circle cx="{x(h):.1f}" cy="{y(c):.1f}" r="{3.5 if ours else 2.5}" fill="{colour}"/>' for h, c in points]
        said = f"{name}: {points[-1][1]:,.0f}" + (f" at {points[-1][0]:,}" if points[-1][0] < 8000 else "")
        ends.append([y(points[-1][1]), x(points[-1][0]), colour, said, ours])
    spot = top - 14.0
    for wanted, from_x, colour, said, ours in sorted(ends):
        spot = max(spot + 14, wanted + 4)
        weight = "bold" if ours else "normal"
        out.append(f'<line x1="{from_x + 4:.1f}" y1="{wanted:.1f}" x2="{width - right + 12}" y2="{spot - 4:.1f}" '
                   f'stroke="{colour}" stroke-width="0.5" opacity="0.6"/><text x="{width - right + 15}" y="{spot:.1f}" '
                   f'fill="{colour}" font-weight="{weight}">{escape(said)}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"
