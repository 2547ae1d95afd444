"""`make bench`: figures as ratios against the bare thing, in one run.

    python -m bench [import|mail|limits|chart ...]

Each part starts the real parts on ports and data of its own and prints the baseline's SQL.
"""

from __future__ import annotations

import sys

from bench import chart, importing, limits, mail

PARTS = {"import": importing.run, "mail": mail.run, "limits": limits.run, "chart": chart.run}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"Unknown part {unknown[0]!r}: choose from {', '.join(PARTS)}")
        return 2
    for name in names or PARTS:
        print(f"\n== {name}", flush=True)
        PARTS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
