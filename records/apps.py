from django.apps import AppConfig

from clinicportal.privileges import FULL, KEEP, NOTHING, READ, WRITE


class RecordsConfig(AppConfig):
    name = "records"

    def ready(self) -> None:
        from clinicportal.views import first_steps
        from records.emergencies import steps_of

        first_steps.append(steps_of)

    # table: (web, worker, auditor). Web only reads what is clinical, and that behind row-level security.
    privileges = {
        "records_facility": (READ, WRITE, NOTHING),
        "records_source": (READ, WRITE, NOTHING),
        "records_organisation": (WRITE, WRITE, READ),
        "records_agreement": (WRITE, WRITE, NOTHING),
        "records_agreement_facilities": (FULL, FULL, NOTHING),
        "records_suspension": (WRITE, WRITE, NOTHING),
        "records_caseload": (WRITE, WRITE, NOTHING),
        "records_grant": (WRITE, WRITE, NOTHING),
        "records_grant_in_force": (READ, NOTHING, NOTHING),
        "records_patient": (READ, FULL, NOTHING),
        "records_patienttoken": (READ, FULL, NOTHING),
        "records_patientlink": (READ, FULL, NOTHING),
        "records_optout": (KEEP, FULL, NOTHING),  # a privacy officer's, by a policy of the wall
        "records_look": (WRITE, FULL, NOTHING),
        "records_savedfilter": (FULL, READ, NOTHING),
        "records_recordreport": (WRITE, READ, NOTHING),
        "records_lookup": (WRITE, READ, NOTHING),
        "records_membership": (READ, FULL, NOTHING),
        "records_referredname": (READ, FULL, NOTHING),
        "records_resourceidentifier": (NOTHING, FULL, NOTHING),
        "records_resource": (READ, FULL, NOTHING),
        "records_alsoabout": (READ, FULL, NOTHING),
        "records_awaited": (NOTHING, FULL, NOTHING),
        "records_resourceversion": (READ, FULL, NOTHING),
        "records_emergencyaccess": (WRITE, WRITE, NOTHING),
        "records_reviewreading": (KEEP, READ, NOTHING),
        "records_emergency_in_force": (READ, NOTHING, NOTHING),
        "records_feedstop": (WRITE, WRITE, NOTHING),
        "records_move": (WRITE, WRITE, NOTHING),
        "records_requestedlabel": (NOTHING, FULL, NOTHING),
        "records_byhand": (WRITE, WRITE, NOTHING),
        "records_question": (WRITE, FULL, NOTHING),
        "records_import": (READ, WRITE, NOTHING),
        "records_rejection": (READ, FULL, NOTHING),
    }
