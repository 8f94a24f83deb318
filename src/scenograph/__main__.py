"""`python -m scenograph`: the command line, for launchers that start modules."""

import sys

from scenograph.cli import main

if __name__ == "__main__":
    sys.exit(main())
