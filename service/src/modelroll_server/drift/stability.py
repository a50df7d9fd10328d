"""The population stability index: how far what is served lies from what was trained on. Pure."""

import numpy as np

from modelroll_server.tensors import Array

UNKNOWN = -1  # of a bin that nobody counted in the training samples: it is left out
_HALF = 0.5


def stability(trained: Array, served: Array, starts: Array) -> Array:
    """The index of each of several inputs, whose bins lie one after the other.

    It is the sum over an input's bins of (a - e) ln(a / e), of the shares a of what was served and e of the training
    samples: 0 where they are equal, else more, whichever of the two is which. By custom less than 0.1 is no change and
    more than 0.25 a large one (N. Siddiqi, Credit Risk Scorecards, Wiley 2006). Half a row is added to each count, so
    that a bin that one of them lacks tells as much as the number of rows can. Bins that both lack are left out.

    Without any change its mean is about (bins - 1) (1 / rows trained + 1 / rows served), and it is spread as chi-square
    with bins - 1 degrees of freedom (B. Yurdakul and J. Naranjo, Statistical properties of the population stability
    index, Journal of Risk Model Validation 14(4), 2020): `bins` and `window` ask for enough rows by that.

    Args:
        trained: Rows of the training samples in each bin, [bins]; `UNKNOWN` where nobody counted.
        served: Rows that were served, [bins].
        starts: Where the bins of each input begin, ascending, [inputs].

    Returns:
        [inputs], float64, none below 0.
    """
    used = ((trained > 0) | (served > 0)) & (trained != UNKNOWN)
    of = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(trained))))

    def shares(counts: Array) -> Array:
        filled = np.where(used, counts + _HALF, 0.0)
        totals = np.add.reduceat(filled, starts)
        found: Array = np.where(used, filled, 1.0) / np.where(totals > 0, totals, 1.0)[of]
        return found

    e, a = shares(trained), shares(served)
    found: Array = np.add.reduceat(np.where(used, (a - e) * np.log(a / e), 0.0), starts)
    return found
