"""`make demo`: on the cluster that CLUSTER names, or embedded."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # the checking client is the tests' own

from hack.demo import embedded, on_cluster

if __name__ == "__main__":
    kind = os.environ.get("CLUSTER", "embedded")
    sys.exit(embedded.run() if kind == "embedded" else on_cluster.run())
