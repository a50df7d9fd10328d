"""Sample rows: read from a file, and turned into the columns that a model is called with.

Owns which pandas columns become which datatype, and the refusal of those that have none.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelroll_server.errors import PackFailed
from modelroll_server.schema import Input, missing
from modelroll_server.tensors import Array, Datatype, Table

if TYPE_CHECKING:
    import pandas as pd

MAX_SAMPLES = 10_000


def read(path: Path) -> "pd.DataFrame":
    """The first rows of a Parquet or CSV file.

    Raises:
        PackFailed: The file is neither, cannot be read, begins without names, or has no rows.
    """
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix.lower() == ".csv":
            _check_names(path)
            frame = pd.read_csv(path, nrows=MAX_SAMPLES, na_values=sorted(missing.SPELLINGS), keep_default_na=False)
        else:
            raise PackFailed(f"{path} is neither .parquet nor .csv")
    except (OSError, ValueError) as error:  # pandas and pyarrow say what is wrong with a ValueError
        raise PackFailed(f"{path} cannot be read: {error}") from error
    if not len(frame):
        raise PackFailed(f"{path} has no rows")
    return frame.head(MAX_SAMPLES)


def _check_names(path: Path) -> None:
    """Refuse a CSV that begins with a row; 0, 1, 2 … are the names that pandas writes for columns without any."""
    import pandas as pd

    names = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0].tolist()
    if names != [str(index) for index in range(len(names))] and all(map(_is_number, names)):
        found = ", ".join(names)
        raise PackFailed(f"line 1 of {path} is read as the names of the columns, and {found} are numbers: add names")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def datatype(name: str, column: "pd.Series[Any]") -> Datatype:
    """The datatype of a column of samples.

    Raises:
        PackFailed: It has none: dates, lists, a mixture. The message names the column and what to do.
    """
    import pandas as pd
    from pandas.api import types

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.dtype.categories.dtype)
    dtype: Any = column.dtype
    if types.is_datetime64_any_dtype(dtype) or dtype.kind in "mM":
        raise PackFailed(f"column {name} holds dates or times: make numbers of them before the model")
    if types.is_bool_dtype(dtype):
        if column.isna().any():
            raise PackFailed(f"column {name} holds booleans and missing values: make it numbers or texts")
        return Datatype.BOOL
    if types.is_integer_dtype(dtype):
        return _integer(name, column)
    if types.is_float_dtype(dtype):
        return Datatype.FP32 if dtype.itemsize == 4 else Datatype.FP64
    return _of_objects(name, column)


def _integer(name: str, column: "pd.Series[Any]") -> Datatype:
    if column.isna().any():
        return Datatype.FP64
    if column.max() >= 2**63:
        raise PackFailed(f"column {name} holds integers of 64 bits without sign: they do not fit an INT64")
    return Datatype.INT64


def _of_objects(name: str, column: "pd.Series[Any]") -> Datatype:
    present = column.dropna()
    kinds = {type(value) for value in present}
    if not kinds:
        raise PackFailed(f"column {name} has no value in any sample row: add rows that have one")
    if kinds == {str}:
        return Datatype.BYTES
    if kinds <= {bool, np.bool_} and len(present) == len(column):
        return Datatype.BOOL
    if kinds <= {int, np.int64, np.int32} and len(present) == len(column):
        return Datatype.INT64
    if kinds <= {int, float, np.int64, np.int32, np.float64, np.float32}:
        return Datatype.FP64
    if kinds & {list, tuple, dict, set, np.ndarray}:
        raise PackFailed(f"column {name} is nested (it holds {_names(kinds)}): spread it over columns of its own")
    raise PackFailed(f"column {name} holds {_names(kinds)}: a column holds numbers, booleans or texts")


def _names(kinds: set[type]) -> str:
    return " and ".join(sorted(kind.__name__ for kind in kinds))


def missing_marker(column: "pd.Series[Any]", kind: Datatype) -> str | None:
    """How the samples write a missing value of this column: nan or none; None when none is missing."""
    absent = column[column.isna()]
    if not len(absent):
        return None
    return "none" if kind is Datatype.BYTES and absent.iloc[0] is None else "nan"


def table(frame: "pd.DataFrame", inputs: Sequence[Input]) -> Table:
    """The samples as the runtime is given rows: in the datatypes of `inputs`, missing texts as they mark them."""
    columns = tuple(_column(frame.iloc[:, index], column) for index, column in enumerate(inputs))
    return Table(tuple(column.name for column in inputs), columns, len(frame))


def json_row(rows: Table, index: int) -> list[Any]:
    """One row as JSON values in manifest order, missing as null."""
    values = [column[index : index + 1].tolist()[0] for column in rows.columns]
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _column(column: "pd.Series[Any]", described: Input) -> Array:
    if described.datatype is not Datatype.BYTES:
        values: Array = (
            column.to_numpy(dtype=described.datatype.dtype, na_value=np.nan)
            if column.isna().any()
            else (column.to_numpy(dtype=described.datatype.dtype))
        )
        return values
    missing = None if described.missing == "none" else math.nan
    texts = np.empty(len(column), object)
    texts[:] = [missing if absent else value for value, absent in zip(column, column.isna(), strict=True)]
    return texts
