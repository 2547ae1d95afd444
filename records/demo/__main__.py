"""python -m records.demo: write the demo patients of all three facilities into a folder."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

from . import cast, write_bundles, write_ndjson


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m records.demo", description=__doc__)
    parser.add_argument("--patients", type=int, default=48, help="how many Patient resources over all sources (48)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other people (1)")
    parser.add_argument("--today", type=date.fromisoformat, required=True, help="the day the records end, YYYY-MM-DD")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets one folder for each source")
    parser.add_argument("--bundles", action="store_true", help="write a transaction bundle for each patient as well")
    parser.add_argument("--cast", action="store_true", help="print who is there for which reason")
    options = parser.parse_args(arguments)
    if not 1 <= options.patients <= 5000:
        parser.error("--patients must lie between 1 and 5000")
    wanted = {"patients": options.patients, "seed": options.seed, "today": options.today}
    counts = write_ndjson(options.out, **wanted)
    if options.bundles:
        counts["bundles"] = write_bundles(options.out, **wanted)
    for name, count in sorted(counts.items()):
        sys.stdout.write(f"{count:8} {name}\n")
    if options.cast:
        for key, source, patient, why in list(cast(options.seed))[: options.patients]:
            sys.stdout.write(f"{key:20} {source:7} {patient}  {why}\n")


if __name__ == "__main__":
    main()
