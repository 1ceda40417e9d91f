"""The order of a run, and what becomes of its figures."""

import argparse
import json
import os
import resource
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import (  # noqa: E402
    changes, connect, cycles, faults, figure, footprint, growth, keepalive, kill, network,
    operators, report, share, wrk,
)  # fmt: skip
from lib.bench import Bench  # noqa: E402

SCENARIOS = {
    "keepalive": keepalive.keepalive,
    "connect": connect.connect,
    "growth": growth.growth,
    "share": share.share,
    "faults": faults.faults,
    "kill": kill.kill,
    "changes": changes.changes,
    "quiet": changes.quiet,
    "start": footprint.start,
    "idle": footprint.idle,
    "memory": footprint.memory,
    "instructions": footprint.instructions,
    "cycles": cycles.cycles,
    "console": operators.console,
    "actions": operators.actions,
    "wrk": wrk.wrk,
}
LONGEST = 40 * 60  # seconds; nothing that is well takes half as long


def options():
    parser = argparse.ArgumentParser(prog="sh benches/run.sh")
    parser.add_argument("programs", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="few rounds, under five minutes")
    parser.add_argument("--json", action="store_true", help="one object a line instead of a table")
    parser.add_argument("--report", action="store_true", help="write docs/performance.md, too")
    parser.add_argument(
        "--only",
        default="",
        metavar="PATTERN",
        help="scenarios that match this regular expression: " + ", ".join(SCENARIOS),
    )
    return parser.parse_args()


def run(bench, only):
    """All scenarios; one that fails is a figure without a value, not the end."""
    for name, scenario in SCENARIOS.items():
        if not bench.wants(only, name):
            continue
        bench.say(f"== {name}: {scenario.__doc__}")
        bench.row = scenario.__doc__
        try:
            scenario(bench)
        except (RuntimeError, OSError) as error:
            bench.say(f"{name}: {error}")
            bench.add(name, None, why=f"the bench failed: {error}")
            bench.renew_load()


def main():
    wanted = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(LONGEST)
    network.prepare()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    bench = Bench(wanted.programs, wanted.quick)
    try:
        run(bench, wanted.only)
        results = bench.results()
    finally:
        bench.close()
    with open(os.path.join(bench.programs, "results.json"), "w") as file:
        json.dump(results, file)
    if wanted.report:
        report.write(results)
    if wanted.json:
        print("\n".join(each.json() for each in bench.figures))
    else:
        print(figure.table(bench.figures))
    return int(any("the bench failed" in each.why for each in bench.figures))


if __name__ == "__main__":
    sys.exit(main())
