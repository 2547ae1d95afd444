"""The portal's own WSGI application with bench/urls.py."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinicportal.settings")

from django.conf import settings

settings.ROOT_URLCONF = "bench.urls"

from clinicportal.wsgi import application

__all__ = ["application"]
