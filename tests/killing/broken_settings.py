"""The portal's settings, and the app that breaks it."""

from clinicportal.settings import *  # noqa: F403
from clinicportal.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.killing.broken.Broken"]
