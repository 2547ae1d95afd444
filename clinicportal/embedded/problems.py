"""What the children complain about, on the console; all the rest stays in their logs."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PROBLEM = re.compile(rb'\b(ERROR|CRITICAL|FATAL|PANIC)\b|"level": ?"(error|critical)"|^Traceback ')
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LONGEST = 300
AT_ONCE = 5


@dataclass
class Problems:
    """Follows the logs and passes on the lines that look like trouble, a few at a time."""

    say: Callable[[str], None]
    positions: dict[Path, int] = field(default_factory=dict)

    def follow(self, log: Path) -> None:
        self.positions[log] = log.stat().st_size if log.exists() else 0

    def tick(self) -> None:
        for log, position in self.positions.items():
            if log.exists() and log.stat().st_size > position:
                self._read(log, position)

    def _read(self, log: Path, position: int) -> None:
        with log.open("rb") as file:
            file.seek(position)
            new = file.read(1_000_000)
        whole, newline, _ = new.rpartition(b"\n")
        self.positions[log] = position + (len(whole) + 1 if newline else len(new) if len(new) > LONGEST else 0)
        found = [line for line in whole.split(b"\n") if PROBLEM.search(line)]
        for line in found[:AT_ONCE]:
            # Whatever a child wrote must not steer the terminal.
            self.say(f"{log.stem} | {CONTROL.sub('', line.decode(errors='replace'))[:LONGEST]}")
        if len(found) > AT_ONCE:
            self.say(f"{log.stem} | {len(found) - AT_ONCE} more in {log}")
