"""System checks: what an operator must mend before the portal is safe, each with an id."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, register

from clinicportal.privileges import declared


@register
def every_table_has_privileges(app_configs: Any, **_: Any) -> list[CheckMessage]:
    known = declared()
    return [
        Error(
            f"Table {model._meta.db_table} is in no app's `privileges`: no role but the owner could reach it.",
            hint="Name it in the AppConfig of the app that owns it, with the privileges of web, worker and auditor.",
            id="clinicportal.E001",
        )
        for model in apps.get_models(include_auto_created=True)
        if model._meta.db_table not in known and not model._meta.proxy
    ]
