"""Everything that is compared, in the order of the tables."""

from benchmarks.subjects import bare, others, ours, tutorial
from benchmarks.subjects.base import Subject

__all__ = ["ALL", "PEERS", "QUICK", "STRATEGIES", "TUNED", "Subject"]

ALL: tuple[Subject, ...] = (
    bare.BareUvicorn(),
    ours.Compiled(),
    ours.Modelroll(),
    ours.Cached(),
    ours.OpenInferenceJson(),
    ours.OpenInferenceBinary(),
    bare.BareGrpc(),
    ours.GrpcPrediction(),
    ours.GrpcOpenInference(),
    bare.BareGrpcStream(),
    ours.GrpcStream(),
    tutorial.Tutorial(),
    others.KServeV1(),
    others.KServeV2(),
    others.MLServer(),
    others.MLServerBatching(),
    others.BentoML(),
    others.LitServe(),
    others.MLflow(),
    others.RayServe(),
)
QUICK = ("bare uvicorn", "modelroll compiled", "modelroll uncompiled", "tutorial FastAPI")
PEERS = tuple(one.name for one in ALL if one.peer is not None or isinstance(one, tutorial.Tutorial))
"""Whom modelroll is compared with: everybody who computes."""
TUNED = frozenset(one.name for one in ALL if one.tuned)
"""Those of them that are set up otherwise than they come."""
STRATEGIES: tuple[Subject, ...] = (
    tutorial.TutorialPerRequest(),
    tutorial.Tutorial(),
    ours.Lazy(),
    ours.Modelroll(),
    ours.Compiled(),
)
"""The ways of loading: for each request, in the tutorial's start, on the first request, before ready, compiled."""
