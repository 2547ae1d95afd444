"""A whole resource of each type that is drawn beside the main lists: every element that a page reads. Of HL7's and
Synthea's examples most of these types have none."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

P1 = {"reference": "Patient/p1"}
DOCTOR = {"reference": "Practitioner/d1", "display": "Dr. Ronald Bone"}
WARD = {"reference": "Location/l1", "display": "Ward 7"}


def text(said: str) -> Json:
    return {"text": said}


def quantity(value: float, unit: str) -> Json:
    return {"value": value, "unit": unit}


SAMPLES: dict[str, Json] = {
    "Appointment": {
        "status": "booked", "serviceType": [text("Heart clinic")], "specialty": [text("Cardiology")],
        "appointmentType": text("Follow-up"), "reasonCode": [text("Chest pain")], "description": "With ECG",
        "start": "2030-05-04T09:30:00Z", "end": "2030-05-04T10:00:00Z", "created": "2026-01-02",
        "comment": "Interpreter booked", "patientInstruction": "Bring your medicines",
        "cancelationReason": text("None"), "reasonReference": [{"display": "Palpitations"}],
        "participant": [{"actor": P1, "status": "accepted"}, {"actor": DOCTOR}, {"actor": WARD}],
    },
    "ClinicalImpression": {
        "status": "completed", "subject": P1, "code": text("Initial assessment"), "effectiveDateTime": "2026-01-05",
        "date": "2026-01-06", "assessor": DOCTOR, "description": "Seen after a fall",
        "summary": "Likely a bruise", "problem": [{"display": "Fall"}],
        "finding": [
            {"itemCodeableConcept": text("Bruised hip"), "basis": "Seen"}, {"itemReference": {"display": "X-ray"}},
        ],
        "prognosisCodeableConcept": [text("Good")], "note": [{"text": "Reviewed by the team"}],
        "investigation": [{"code": text("Examination"), "item": [{"display": "Gait"}]}],
    },
    "Composition": {
        "status": "final", "subject": P1, "type": text("Discharge summary"), "title": "Discharge from ward 7",
        "date": "2026-01-09T10:00:00Z", "author": [DOCTOR], "custodian": {"display": "Main site"},
        "category": [text("Summary")], "event": [{"period": {"start": "2026-01-02", "end": "2026-01-09"}}],
        "section": [
            {"title": "Course", "text": {"status": "generated", "div": "<div>Walked <b>well</b>.</div>"}},
            {
                "title": "Plan",
                "section": [
                    {"code": text("Medicines"), "entry": [{"display": "x"}, {"display": "y"}]},
                    {"title": "Open results", "emptyReason": text("None pending")},
                ],
            },
        ],
    },
    "Device": {
        "status": "active", "patient": P1, "type": text("Cardiac pacemaker"), "manufacturer": "Acme Hearts",
        "modelNumber": "AH-7", "serialNumber": "SN-778", "lotNumber": "L-9", "manufactureDate": "2019-01-01",
        "expirationDate": "2031-01-01", "deviceName": [{"name": "Acme Beat 7", "type": "user-friendly-name"}],
        "udiCarrier": [{"deviceIdentifier": "0844", "carrierHRF": "(01)0844(21)SN-778"}],
        "safety": [text("MR conditional")], "owner": {"display": "Main site"}, "location": WARD,
        "note": [{"text": "Checked each year"}],
    },
    "DeviceUseStatement": {
        "status": "active", "subject": P1, "device": {"reference": "Device/x-Device"},
        "timingPeriod": {"start": "2020-03-01"},
        "recordedOn": "2020-03-02", "source": DOCTOR, "bodySite": text("Left chest"), "reasonCode": [text("AV block")],
        "note": [{"text": "Implanted"}],
    },
    "EpisodeOfCare": {
        "status": "active", "patient": P1, "type": [text("Home nursing")], "period": {"start": "2025-11-01"},
        "diagnosis": [{"condition": {"display": "Leg ulcer"}, "role": text("Main"), "rank": 1}],
        "careManager": DOCTOR, "managingOrganization": {"display": "Northfield nurses"},
        "team": [{"display": "Team 3"}],
    },
    "FamilyMemberHistory": {
        "status": "completed", "patient": P1, "date": "2025-06-01", "name": "Secret Name",
        "relationship": text("Mother"),
        "sex": text("Female"), "bornDate": "1940", "deceasedAge": quantity(70, "a"), "ageAge": quantity(70, "years"),
        "condition": [
            {
                "code": text("Breast cancer"), "onsetAge": {"value": 50, "code": "a"}, "outcome": text("Died of it"),
                "note": [{"text": "Told by her sister"}],
            }
        ],
        "reasonCode": [text("Screening")], "note": [{"text": "By the patient"}],
    },
    "ImagingStudy": {
        "status": "available", "subject": P1, "started": "2026-01-03T11:00:00Z",
        "modality": [{"code": "CT", "display": "CT"}],
        "procedureCode": [text("CT of the head")], "description": "CT head",
        "numberOfSeries": 1, "numberOfInstances": 120,
        "interpreter": [DOCTOR], "referrer": {"display": "Dr. Ferry"}, "location": WARD, "reasonCode": [text("Fall")],
        "note": [{"text": "No contrast"}],
        "series": [
            {
                "uid": "1.2", "number": 4, "modality": {"code": "CT"}, "description": "Axial", "numberOfInstances": 120,
                "bodySite": {"display": "Head"}, "laterality": {"display": "Left"},
            }
        ],
    },
    "ImmunizationRecommendation": {
        "patient": P1, "date": "2026-01-01", "authority": {"display": "Health office"},
        "recommendation": [
            {
                "vaccineCode": [text("Tetanus")], "forecastStatus": text("Due"), "doseNumberPositiveInt": 4,
                "dateCriterion": [{"code": text("Due from"), "value": "2026-07-01"}],
                "forecastReason": [text("Ten years")],
            }
        ],
    },
    "MedicationAdministration": {
        "status": "completed", "subject": P1, "medicationCodeableConcept": text("Paracetamol"),
        "effectivePeriod": {"start": "2026-01-03T08:00:00Z", "end": "2026-01-03T08:10:00Z"},
        "performer": [{"actor": DOCTOR}], "request": {"reference": "MedicationRequest/x-MedicationRequest"},
        "reasonCode": [text("Pain")], "statusReason": [text("As planned")], "note": [{"text": "Slept after it"}],
        "dosage": {
            "text": "1 g by drip", "dose": quantity(1, "g"), "route": text("Intravenous route"),
            "site": text("Left arm"),
            "rateQuantity": quantity(100, "mL/h"),
        },
    },
    "MedicationDispense": {
        "status": "completed", "subject": P1, "medicationCodeableConcept": text("Amlodipine 5 mg"),
        "authorizingPrescription": [{"reference": "MedicationRequest/x-MedicationRequest"}],
        "quantity": quantity(28, "tablet"), "daysSupply": quantity(28, "days"), "performer": [{"actor": DOCTOR}],
        "whenPrepared": "2026-01-03", "whenHandedOver": "2026-01-04T10:00:00Z", "location": {"display": "High Street"},
        "type": text("First fill"), "receiver": [{"display": "Daughter"}], "substitution": {"wasSubstituted": True},
        "statusReasonCodeableConcept": text("Other brand"), "note": [{"text": "In a box"}],
        "dosageInstruction": [{"text": "One each morning"}],
    },
    "MedicationRequest": {
        "status": "active", "intent": "order", "subject": P1, "medicationCodeableConcept": text("Amlodipine 5 mg"),
        "authoredOn": "2026-01-01", "dosageInstruction": [{"text": "One each morning"}],
    },
    "QuestionnaireResponse": {
        "status": "completed", "subject": P1, "authored": "2026-01-07", "source": P1,
        "questionnaire": "http://hospital.example/Questionnaire/falls|2",
        "item": [
            {
                "linkId": "1", "text": "At home",
                "item": [
                    {"linkId": "1.1", "text": "Do you live alone?", "answer": [{"valueBoolean": True}]},
                    {
                        "linkId": "1.2", "text": "How often did you fall?",
                        "answer": [
                            {
                                "valueInteger": 3,
                                "item": [{"text": "When last?", "answer": [{"valueDate": "2026-01-01"}]}],
                            }
                        ],
                    },
                    {"linkId": "1.3", "text": "Weight", "answer": [{"valueQuantity": quantity(70.5, "kg")}]},
                    {"linkId": "1.4", "answer": [{"valueCoding": {"display": "Stick"}}, {"valueString": "and frame"}]},
                    {"linkId": "1.5", "text": "Anything else?"},
                ],
            }
        ],
    },
    "RelatedPerson": {
        "active": True, "patient": P1, "name": [{"family": "Kin", "given": ["Nora"]}],
        "relationship": [text("Daughter")],
        "telecom": [{"system": "phone", "value": "0100 5553"}], "period": {"start": "2020-01-01"},
    },
}  # fmt: skip


def sample(type: str, **fields: Any) -> Json:
    """One of patient p1. Under `x-<type>` unless told."""
    return {"resourceType": type, "id": f"x-{type}", **SAMPLES[type], **fields}
