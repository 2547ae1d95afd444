import io
import json
import logging

from django.db import DatabaseError, connections

from clinicportal import logs


def test_an_exception_is_logged_without_its_values(db):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter())
    logger = logging.getLogger("test.canary")
    logger.addHandler(handler)
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
