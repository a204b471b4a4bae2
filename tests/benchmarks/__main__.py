"""Prints one table: what it costs, what the peer costs in the same run, the aim, whether it is reached."""

import os
import platform
import sys
import time

import rows

HEAD = ("what", "lpf", "against", "theirs", "ratio", "aim", "", "noise")


def lines(row: rows.Row) -> tuple[str, ...]:
    reached = "" if row.aim is None else "yes" if round(row.ratio, 2) <= row.aim else "NO"
    aim = "" if row.aim is None else f"{row.aim:g}"
    return (row.what, row.ours, row.peer, row.theirs, f"{row.ratio:.3g}", aim, reached, row.noise)


def main() -> None:
    wanted = sys.argv[1:] or list(rows.GROUPS)
    unknown = [name for name in wanted if name not in rows.GROUPS]
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(rows.GROUPS)}")
    started = time.perf_counter()
    load = os.getloadavg()[0]
    print(
        f"CPython {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs, ",
        end="",
    )
    print(f"load {load:.1f} at the start{': too much for good figures' if load > 0.5 else ''}")
    table = [HEAD]
    for name in wanted:
        print(f"  {name} …", file=sys.stderr, flush=True)
        table += [lines(row) for row in rows.GROUPS[name]()]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD))]
    for line in table:
        print(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        )
    print()
    print("\n".join(rows.NOTES))
    print(f"{time.perf_counter() - started:.0f} s")


main()
