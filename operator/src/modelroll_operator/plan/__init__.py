"""The one next step for one Deployment: protocol S4 to S9 as a pure function of what was observed.

Owns every decision of a rollout. Reads no clock, calls nobody, keeps nothing: what must be remembered is in the
ConfigMap.
"""

from modelroll_operator.plan.moving import ARTIFACT_GRACE
from modelroll_operator.plan.planning import plan

__all__ = ["ARTIFACT_GRACE", "plan"]
