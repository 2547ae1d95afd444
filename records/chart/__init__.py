"""The pages of one record, and the list of patients: what is read, and what it becomes; a module for each page.

Each page opens the one transaction in which clinical rows can be read for `by`, passes the audited door
(records/access.py), reads, leaves, and is built from memory. It takes at most twelve queries, those of session and
audit included, however long the record is.
"""
