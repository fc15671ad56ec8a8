"""`python -m edgeacts`: the same as the command `edgeacts`."""

import sys

from edgeacts.cli import main

if __name__ == "__main__":
    sys.exit(main())
