import io
import json
import logging

import pytest
from django.db import DatabaseError, connections
from django.test import Client

from clinicportal import logs


@pytest.fixture
def stream() -> io.StringIO:
    """What the loggers of Django and of the standard library write."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_the_secret_of_an_invitation_link_is_not_logged(db, stream):
    client = Client(enforce_csrf_checks=True, headers={"host": "portal.localhost"})
    client.post("/welcome/canary-of-a-link/continue/")
    assert "/welcome/.../continue/" in stream.getvalue()
    assert "canary" not in stream.getvalue()


def test_an_exception_is_logged_without_its_values(db, stream):
    logger = logging.getLogger("test.canary")
    with connections["worker"].cursor() as cursor:
        try:
            cursor.execute("SELECT 'Canary-Patient'::integer")
        except DatabaseError:
            logger.exception("a query failed")
    line = json.loads(stream.getvalue())
    assert "Canary" not in stream.getvalue()
    assert line["exception"] == "DataError"
    assert line["event"] == "a query failed"
    assert line["frames"]
