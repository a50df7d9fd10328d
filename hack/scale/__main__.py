"""`make scale`: rollouts over as many pods as were asked for, and what each costs the operator."""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # clusters and operators are started as the tests do

from benchmarks import machine
from hack.scale import plane
from hack.scale.cost import HEADER, Cost, Document


def main() -> None:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(prog="make scale", description=__doc__)
    parser.add_argument("--pods", type=int, nargs="*", default=[10, 100, 1000], help="of one Deployment")
    parser.add_argument("--waves", type=int, nargs="*", default=[10], help="maxParallel, besides all at once")
    parser.add_argument("--deployments", type=int, nargs="*", default=[20, 200], help="how many, in one namespace")
    parser.add_argument("--pods-of-each", type=int, default=5)
    parser.add_argument("--load-seconds", type=float, default=0.3, help="from seeing a version to serving it")
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--keep", type=Path, help="keep logs and data in this directory")
    parser.add_argument("--out", type=Path, help="write the figures to this file, as JSON")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    document = Document(machine.this(), machine.source(), chosen.load_seconds, [])

    def record(cost: Cost) -> None:
        """At once: a run that is broken off has not been for nothing."""
        print(cost.row(), flush=True)
        document.costs.append(cost)
        if chosen.out is not None:
            chosen.out.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")

    with tempfile.TemporaryDirectory() as directory:
        place = chosen.keep or Path(directory)
        place.mkdir(parents=True, exist_ok=True)
        with plane.control_plane(place):
            from hack.scale import measure  # the API's client reads KUBECONFIG as it is imported

            print(HEADER)
            run = measure.Run(record, place, chosen.load_seconds, chosen.idle_seconds)
            for pods in chosen.pods:
                waves = [pods, *(many for many in chosen.waves if many < pods)]
                asyncio.run(run.one_deployment(pods, waves))
            for deployments in chosen.deployments:
                asyncio.run(run.many_deployments(deployments, chosen.pods_of_each))


if __name__ == "__main__":
    main()
