"""`python -m modelroll_server.workers INDEX PORT CHANNEL`: one worker. Only a parent starts it."""

import sys

from modelroll_server.workers.worker import main

if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
