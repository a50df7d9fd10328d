"""What things are called in the API server: groups, labels, annotations, the ConfigMap of a Deployment."""

APPS = "apps/v1"
GROUP = "modelroll.dev/v1alpha1"
PLURAL = "modelversions"

MODEL_LABEL = "modelroll.dev/model"
TARGET_ANNOTATION = "modelroll.dev/target"
MOVE_ANNOTATION = "modelroll.dev/move"
REMINDER_ANNOTATION = "modelroll.dev/reminder"
RETRY_ANNOTATION = "modelroll.dev/retry"


def config_map(deployment: str) -> str:
    """The name of the ConfigMap that holds the state of a Deployment."""
    return f"{deployment}-target"
