"""The first runs of a network: what it really gives, whether its rows are independent, and that every size works."""

import logging
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.errors import ConfigurationError, FacepipeError, TransientError
from common.inference.devices import Device
from common.ports import ModelSession
from common.types import Arrays, Float32s

log = logging.getLogger("facepipe.inference")

Port = tuple[str, tuple[int | str | None, ...]]

#: How far the outputs of a row may differ with its company, relative to the largest of them. Another batch size may
#: choose another algorithm, on a GPU one that rounds to ten bits; a graph that mixes rows differs by far more.
_CPU_TOLERANCE: Final = 1e-4
_GPU_TOLERANCE: Final = 2e-2


class WarmSession:
    """A network that has been run; a `common.ports.ModelSession` that states shapes as they were found.

    The first axis of the input is 1 where rows cannot share a run, and open otherwise; of the outputs only the first
    axis is open, and only where it counts rows.

    Args:
        session: the network.
        inputs, outputs: the shapes.
        sizes: rows that a run may have, ascending; others are filled up with zeros to the next of them, so that an
            accelerator sees only shapes that it was prepared for. None: any number.
        batch_size: rows of one run at most.

    Attributes:
        batch_size: rows of one run at most.
    """

    def __init__(
        self,
        session: ModelSession,
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        sizes: Sequence[int] | None,
        batch_size: int,
    ) -> None:
        self.batch_size = batch_size
        self._session = session
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._sizes = sizes

    @property
    def inputs(self) -> Sequence[Port]:
        """See the port."""
        return self._inputs

    @property
    def outputs(self) -> Sequence[Port]:
        """See the port."""
        return self._outputs

    def run(self, feeds: Arrays) -> list[npt.NDArray[Any]]:
        """See the port."""
        if self._sizes is None:
            return self._session.run(feeds)
        rows = len(next(iter(feeds.values())))
        size = next((size for size in self._sizes if size >= rows), rows)
        if size == rows:
            return self._session.run(feeds)
        return [output[:rows] for output in self._session.run(_filled(feeds, size))]

    @property
    def shares_runs(self) -> bool:
        """Whether rows may share a run."""
        return self._inputs[0][1][0] != 1


def warm_up(
    session: ModelSession, row: Sequence[int], *, batch_size: int, device: Device, name: str, by_memory: bool = False
) -> WarmSession:
    """Run a network at every size that will be used.

    Args:
        session: a network with one input.
        row: shape of one row of it, such as (3, 112, 112).
        batch_size: rows of one run at most.
        device: where it runs.
        name: the network, for messages.
        by_memory: whether rows of one run may become fewer, until a run fits into the memory.

    Raises:
        ConfigurationError: it cannot be run at a size, not even with one row, or gives what is not finite.
    """
    generator = np.random.default_rng(0)
    ((input_name, shape),) = session.inputs
    pair: Float32s = generator.uniform(-1, 1, (2, *row)).astype(np.float32)
    alone = [_try(session, {input_name: pair[i : i + 1]}, name) for i in range(2)]
    if not all(np.isfinite(output).all() for outputs in alone for output in outputs):
        raise ConfigurationError(f"{name} gives numbers that are not finite; install the pack again")
    tolerance = _CPU_TOLERANCE if device.is_cpu else _GPU_TOLERANCE
    could_share = shape[0] != 1 and batch_size > 1
    shares = could_share and _are_independent(session, {input_name: pair}, alone, tolerance)
    if could_share and not shares:
        log.warning("%s gives a row other numbers in company than alone: its rows are run one by one", name)
    wanted = run_sizes(batch_size, device) if shares else (1,)
    sizes = _fitting_sizes(session, row, wanted, name, by_memory=by_memory)
    rows: int | str = "rows" if shares else 1
    return WarmSession(
        session,
        [(input_name, (rows, *row))],
        [
            (output_name, ("rows", *output.shape[1:]) if shares else output.shape)
            for (output_name, _), output in zip(session.outputs, alone[0], strict=True)
        ],
        None if device.is_cpu else sizes,
        batch_size=sizes[-1],
    )


def run_sizes(batch_size: int, device: Device) -> tuple[int, ...]:
    """Sizes to be tried, ascending: the extremes on a CPU, which takes any; elsewhere all that will occur."""
    if device.is_cpu:
        return tuple(sorted({1, batch_size}))
    powers = {2**power for power in range(batch_size.bit_length()) if 2**power < batch_size}
    return tuple(sorted(powers | {batch_size}))


def _fitting_sizes(
    session: ModelSession, row: Sequence[int], wanted: Sequence[int], name: str, *, by_memory: bool
) -> tuple[int, ...]:
    """Run every size, the largest first; with `by_memory`, those that do not fit are left out."""
    ((input_name, _),) = session.inputs
    fitting: list[int] = []
    for size in reversed(wanted):
        try:
            _try(session, {input_name: np.zeros((size, *row), np.float32)}, name)
        except ConfigurationError as error:
            is_too_large = isinstance(error.__cause__, TransientError)
            if not (by_memory and is_too_large) or fitting or size == wanted[0]:
                raise
            log.info("%s: %s rows of %s a run do not fit into the memory", name, size, tuple(row))
        else:
            fitting.insert(0, size)
    return tuple(fitting)


def _try(session: ModelSession, feeds: Arrays, name: str) -> list[npt.NDArray[Any]]:
    try:
        return session.run(feeds)
    except Exception as error:
        (array,) = feeds.values()
        reason = error.message if isinstance(error, FacepipeError) else str(error)
        raise ConfigurationError(f"{name} cannot be run with an input of {array.shape}: {reason}") from error


def _are_independent(
    session: ModelSession, feeds: Arrays, alone: Sequence[Sequence[npt.NDArray[Any]]], tolerance: float
) -> bool:
    """Whether two rows give together what each gave alone."""
    try:
        together = session.run(feeds)
    except Exception:  # noqa: BLE001 - a graph made for one row may fail in any way
        return False
    for output, *singles in zip(together, *alone, strict=True):
        if output.ndim < 2 or len(output) != 2 or any(single.shape != (1, *output.shape[1:]) for single in singles):
            return False
        bound = tolerance * max(1e-6, float(np.abs(singles).max()))
        if not (np.abs(output - np.concatenate(singles)) <= bound).all():
            return False
    return True


def _filled(feeds: Arrays, size: int) -> dict[str, npt.NDArray[Any]]:
    filled = {}
    for name, array in feeds.items():
        filled[name] = np.zeros((size, *array.shape[1:]), array.dtype)
        filled[name][: len(array)] = array
    return filled
