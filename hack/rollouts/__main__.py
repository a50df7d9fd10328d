"""`make rollouts`: how long rollouts take, and what callers notice, on the cluster that CLUSTER names."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # releases are made as the tests make them

from hack.rollouts import noticed, seconds

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make rollouts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--rate", type=float, default=60, help="requests a second, where callers are there")
    arguments = parser.parse_args()
    seconds.run(arguments.rounds)
    noticed.run(arguments.rounds, arguments.rate)
