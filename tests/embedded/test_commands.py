"""Our commands work by themselves, each as the role it needs."""

import subprocess
import sys

from django.core.management import get_commands

import manage
from clinicportal.embedded.paths import ROOT
from tests.embedded.conftest import data_folder, environment_for


def test_each_command_of_ours_says_as_which_role_it_runs():
    ours = {name for name, app in get_commands().items() if str(app) in ("clinicportal", "partners", "records")}
    assert ours
    assert ours <= manage.PROCESSES.keys()


def test_a_command_makes_the_tables_where_no_portal_has_run():
    with data_folder() as data:
        for said_first in (True, False):
            done = subprocess.run(
                [sys.executable, "manage.py", "relabel"], cwd=ROOT, env=environment_for(data), capture_output=True,
                text=True, check=False, timeout=120,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert ("The database is new" in done.stdout) == said_first
