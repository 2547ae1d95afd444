from django.apps import AppConfig

from clinicportal.privileges import FULL, KEEP, NOTHING, READ, WRITE


class PartnersConfig(AppConfig):
    name = "partners"

    # table: (web, worker, auditor)
    privileges = {
        "partners_partnerorganisation": (WRITE, WRITE, NOTHING),
        "partners_domain": (FULL, FULL, NOTHING),
        "partners_identityprovider": (FULL, FULL, NOTHING),
        "partners_sponsor": (WRITE, WRITE, NOTHING),
        "partners_accessrequest": (WRITE, WRITE, NOTHING),
        "partners_accessrequest_caseloads": (FULL, READ, NOTHING),
        "partners_decision": (WRITE, READ, NOTHING),
        "partners_guest": (WRITE, WRITE, NOTHING),
        "partners_requestgrant": (WRITE, READ, NOTHING),
        "partners_provisioningjob": (WRITE, WRITE, NOTHING),
        "partners_step": (WRITE, WRITE, NOTHING),
        "partners_invitation": (WRITE, WRITE, NOTHING),
        "partners_incident": (WRITE, WRITE, NOTHING),
        "partners_reset": (WRITE, WRITE, NOTHING),
        "partners_directorywatch": (READ, WRITE, NOTHING),
        "partners_notice": (WRITE, WRITE, NOTHING),
        "partners_gate": (WRITE, WRITE, NOTHING),
        "partners_lane": (READ, WRITE, NOTHING),
        "partners_shut": (READ, READ, NOTHING),
        "partners_directorylag": (READ, WRITE, NOTHING),
        "partners_contextcheck": (READ, WRITE, NOTHING),
        "partners_attestation": (KEEP, KEEP, NOTHING),
    }
