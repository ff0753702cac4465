"""python -m cossim_helpers: see `audit.command`."""

import sys

from .audit.command import main

if __name__ == "__main__":
    sys.exit(main())
