"""`python -m clinicportal.embedded`: hold."""

import sys

from clinicportal.embedded.sharing import hold

if __name__ == "__main__":
    sys.exit(hold())
