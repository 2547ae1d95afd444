"""A supervisor over small stand-ins for the portal's processes: what it does to them is what is tested.

`python -m tests.embedded.fake_portal`; FAKE_CHILD and FAKE_STEP are the code that "web" and the step before it run.
"""

import os
import sys

from clinicportal.embedded import keeper, supervisor
from clinicportal.embedded.account import die_with_parent
from clinicportal.embedded.children import Child
from clinicportal.embedded.portal import Answers, Portal, Step
from clinicportal.embedded.supervisor import up

SLEEP = "import time; time.sleep(600)"


class FakePortal(Portal):
    def tenant(self) -> list[Child]:
        return []

    def steps(self) -> list[Step]:
        code = os.environ.get("FAKE_STEP", "print('prepared')")
        return [Step("Prepare", [sys.executable, "-c", code], os.environ, self.paths.log("setup"))]

    def processes(self) -> list[Child]:
        code = os.environ.get("FAKE_CHILD", SLEEP)
        answers = Answers(self.ports.portal, "/") if "FAKE_PROBE" in os.environ else None
        return [self._child("clock", ["-c", SLEEP]), self._child("web", ["-c", code], answers=answers)]


if __name__ == "__main__":
    keeper.PROBE_EVERY, keeper.PROBES_MISSED, keeper.LONGEST_PAUSE = 0.2, 2, 1.0
    supervisor.GUARD_GRACE = 1.0
    if "--follow-parent" in sys.argv:
        die_with_parent()
    sys.exit(up(FakePortal))
