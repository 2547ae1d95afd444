"""`python -m clinicportal.embedded`: up (the portal), reset (forget local data), hold (servers for commands)."""

import argparse
import sys

from clinicportal.embedded.account import die_with_parent
from clinicportal.embedded.reset import reset
from clinicportal.embedded.sharing import hold
from clinicportal.embedded.supervisor import up


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m clinicportal.embedded", description=__doc__)
    parser.add_argument("command", choices=["up", "reset", "hold"])
    parser.add_argument("--follow-parent", action="store_true", help="stop when the process that started us ends")
    arguments = parser.parse_args()
    if arguments.follow_parent:
        die_with_parent()
    return {"up": up, "reset": reset, "hold": hold}[arguments.command]()


if __name__ == "__main__":
    sys.exit(main())
