from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate

from clinicportal.privileges import APPEND, FULL, NOTHING, READ, WRITE


class ClinicportalConfig(AppConfig):
    name = "clinicportal"

    # table: (web, worker, auditor)
    privileges = {
        "clinicportal_user": (WRITE, WRITE, READ),
        "clinicportal_terms": (READ, WRITE, NOTHING),
        "clinicportal_termsacceptance": (WRITE, WRITE, NOTHING),
        "clinicportal_session": (FULL, FULL, NOTHING),
        "clinicportal_auditevent": (APPEND, APPEND, READ),
        "clinicportal_auditsubject": (APPEND, APPEND, READ),
        "django_migrations": (READ, READ, NOTHING),
        "django_content_type": (READ, READ, NOTHING),
        # Django's own permissions and groups are not used: roles come from Entra and from sponsorships.
        "auth_permission": (NOTHING, NOTHING, NOTHING),
        "auth_group": (NOTHING, NOTHING, NOTHING),
        "auth_group_permissions": (NOTHING, NOTHING, NOTHING),
        "account_emailconfirmation": (NOTHING, NOTHING, NOTHING),
        "account_emailaddress": (WRITE, NOTHING, NOTHING),
        "socialaccount_socialaccount": (FULL, WRITE, NOTHING),
        "socialaccount_socialtoken": (READ, NOTHING, NOTHING),
        "socialaccount_socialapp": (READ, NOTHING, NOTHING),
    }

    def ready(self) -> None:
        from clinicportal import checks, guards  # noqa: F401 - registers system checks

        post_migrate.connect(apply_privileges, sender=self)
        connection_created.connect(guards.on_connect)


def apply_privileges(using: str, **_: object) -> None:
    """After the last app's migrations: privileges and the audit partitions of the months to come."""
    from clinicportal import partitions, privileges

    partitions.ensure()
    privileges.apply()
