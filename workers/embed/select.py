"""Chooses which faces of a tracklet are looked at closely."""

import numpy as np

from common.types import Float32s, Int32s, Int64s


def select_faces(tracklet: Int32s, worth: Float32s, time_ms: Int64s, *, per_tracklet: int) -> Int64s:
    """The best few faces of each tracklet, spread over its time.

    A tracklet's time is cut into as many equal parts as faces are wanted, and each part gives its best face before any
    part gives a second: neighbouring frames are nearly the same picture, and a tracklet that two people share is only
    found out by crops of both.

    Args:
        tracklet: (n,) int32, whose face each one is.
        worth: (n,) float32, larger is better.
        time_ms: (n,) int64, media time of each.
        per_tracklet: how many to choose, >= 1.

    Returns:
        Indices by tracklet, then by falling worth; of equal ones the earlier row comes first.
    """
    order = np.lexsort((-worth, tracklet))
    borders = np.flatnonzero(np.diff(tracklet[order])) + 1
    chosen = [_spread_over_time(rows, time_ms[rows], per_tracklet) for rows in np.split(order, borders)]
    return np.concatenate(chosen)


def _spread_over_time(rows: Int64s, time_ms: Int64s, count: int) -> Int64s:
    """At most `count` of the rows, which come best first and stay so."""
    if len(rows) <= count:
        return rows
    elapsed = time_ms - time_ms.min()
    part = elapsed * count // (elapsed.max() + 1)
    is_later = np.ones(len(rows), bool)
    is_later[np.unique(part, return_index=True)[1]] = False
    return rows[np.sort(np.argsort(is_later, kind="stable")[:count])]
