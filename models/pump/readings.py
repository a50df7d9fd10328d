"""What the sensors of a pump say, simulated: a bearing that wears out is hot and shakes, a leak costs pressure."""

from typing import Any

import numpy as np
import pandas as pd

SEED = 7


def table(count: int, seed: int = SEED) -> tuple[pd.DataFrame, "pd.Series[Any]"]:
    """So many readings, and whether the pump failed within a day of each ("failing" or "healthy")."""
    rng = np.random.default_rng(seed)
    load = rng.uniform(0.3, 1.0, count)
    wear = rng.beta(1.5, 5.0, count)
    leak = rng.beta(1.2, 8.0, count)
    found = pd.DataFrame(
        {
            "temperature_c": 35 + 20 * load + 40 * wear + rng.normal(0, 2, count),
            "vibration_mm_s": 1 + 1.5 * load + 9 * wear**2 + rng.normal(0, 0.3, count),
            "pressure_bar": 6 * load * (1 - 0.7 * leak) + rng.normal(0, 0.1, count),
            "current_a": 4 + 8 * load + 3 * wear + rng.normal(0, 0.2, count),
        }
    ).round(2)
    failing = 6 * wear + 4 * leak + rng.normal(0, 0.4, count) > 3
    return found, pd.Series(np.where(failing, "failing", "healthy"))
