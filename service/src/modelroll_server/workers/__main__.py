"""`python -m modelroll_server.workers INDEX PORT CHANNEL`: one worker. Only a parent starts it."""

import sys

from modelroll_server import lifeline

if __name__ == "__main__":
    # Before what takes long to import: until then this process holds the port of a dead server. A parent that is dead
    # by now, and any where there is no Linux, is noticed by the end of the channel.
    lifeline.end_with_parent()
    from modelroll_server.workers.worker import main

    main(*map(int, sys.argv[1:]))
