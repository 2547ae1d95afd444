import gc
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinicportal.settings")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

# What is loaded by now stays: looking through all of it again would hold up somebody's page. What a page makes is gone
# when it is answered, without the collector.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)
