"""`python -m benchmarks`."""

import sys

from benchmarks.command import main

# Processes of ways are started anew and import this file too.
if __name__ == "__main__":
    main(sys.argv[1:])
