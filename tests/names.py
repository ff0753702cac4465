"""Names of files that are not plain, on every system."""

import os

UMLAUT = os.fsdecode("ü 1".encode())  # its bytes in UTF-8, also where the locale knows ASCII alone
