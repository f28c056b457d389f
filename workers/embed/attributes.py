"""Age and gender as a network guesses them: the contract `genderage` of InsightFace.

From deepinsight/insightface, `model_zoo/attribute.py` (MIT): a crop by box, and three numbers a face: one for female,
one for male, of which the larger is the answer, and the age over 100. What comes out is a guess at how old somebody
looks and as which of two genders they present, never a fact about a person.
"""

from typing import Final

import numpy as np

from common.types import Float32s

#: Numbers a face.
GENDERAGE_WIDTHS: Final = (3,)


def decode_genderage(raw: Float32s) -> tuple[Float32s, Float32s]:
    """Make ages and gender scores of what the network gave.

    Args:
        raw: (n, 3) float32: female, male (as before a softmax), age / 100.

    Returns:
        (n,) float32 years, at least 0, and (n,) float32 scores in [0, 1], above one half where the guess is female:
        the softmax of the two, which is no calibrated probability. Both are NaN for a face of which the network gave
        something that is no number.
    """
    values = raw.astype(np.float64)
    age = np.maximum(values[:, 2] * 100, 0)
    lead = np.clip(values[:, 0] - values[:, 1], -700, 700)
    female_score = 1 / (1 + np.exp(-lead))
    is_lost = ~np.isfinite(values).all(axis=1)
    age[is_lost] = female_score[is_lost] = np.nan
    return age.astype(np.float32), female_score.astype(np.float32)
