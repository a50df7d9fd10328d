"""What a CSV writes where a value is missing: one list for the samples of `pack` and the rows of `predict` and `batch`.

It is the list of pandas, spelled out so that no version of pandas changes what an artifact says:
https://pandas.pydata.org/docs/reference/api/pandas.read_csv.html (na_values).
"""

SPELLINGS = frozenset(
    {
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    }
)
