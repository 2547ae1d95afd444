"""Addresses are worked out once for each page and are those that Django would give."""

import uuid

import pytest
from django.urls import NoReverseMatch, reverse

from clinicportal.addresses import path_to

PATIENT, OTHER = (uuid.UUID(int=number, version=4) for number in (1, 2))


@pytest.mark.parametrize("name", ["records:summary", "records:results", "records:print", "records:report"])
def test_the_address_of_a_page_of_one_record_is_that_records_own(name):
    for patient in (PATIENT, OTHER, PATIENT):
        assert path_to(name, patient) == path_to(name, str(patient)) == reverse(name, args=[patient])


def test_other_addresses_are_djangos():
    assert path_to("records:patients") == reverse("records:patients")
    assert path_to("records:document", PATIENT, OTHER) == reverse("records:document", args=[PATIENT, OTHER])
    assert path_to("records:summary", pk=PATIENT) == reverse("records:summary", args=[PATIENT])


@pytest.mark.parametrize("strange", ["../../", "1", "", f"{PATIENT}/", str(PATIENT).replace("-", "_")])
def test_what_is_no_id_of_ours_is_no_part_of_an_address(strange):
    with pytest.raises(NoReverseMatch):
        path_to("records:summary", strange)
