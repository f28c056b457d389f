"""The two networks of a captioner: the encoder looks at the picture, the decoder says what may come next."""

import numpy as np

from common.errors import ConfigurationError
from common.inference.picture_input import PictureReader
from common.packs import CaptioningModel
from common.ports import ModelSession
from common.types import Float32s, Int64s, Uint8s
from workers.caption.search import Float64s


class Encoder:
    """Thread-safe.

    Args:
        session: the loaded network.
        spec: its entry in the manifest.

    Raises:
        ConfigurationError: the network's input or output is not what the contract says.
    """

    def __init__(self, session: ModelSession, spec: CaptioningModel) -> None:
        self._session = session
        self._reader = PictureReader(spec.input)
        if len(session.inputs) != 1 or len(session.inputs[0][1]) != 4:
            raise ConfigurationError(f"{spec.name} needs one input of four axes, it has {list(session.inputs)}")
        if not session.outputs or len(session.outputs[0][1]) != 3:
            raise ConfigurationError(
                f"{spec.name} gives {list(session.outputs)}; the first output must be features (n, places, width)"
            )
        self._input_name = session.inputs[0][0]

    @property
    def feature_shape(self) -> tuple[int | str | None, ...]:
        """(places, width) of the features, as far as it is known; all of it is, once the network has been run."""
        return tuple(self._session.outputs[0][1][1:])

    def look(self, pixels: Uint8s) -> Float32s:
        """(1, places, width) float32 features of a picture, (height, width, 3) uint8 RGB."""
        array, _ = self._reader.read(pixels)
        features: Float32s = self._session.run({self._input_name: array})[0]
        return features


class Decoder:
    """Thread-safe.

    Args:
        session: the loaded network.
        name: its file, for messages.
        tokens: how many tokens the vocabulary has.

    Raises:
        ConfigurationError: the network's inputs or output are not what the contract says.
    """

    def __init__(self, session: ModelSession, name: str, *, tokens: int) -> None:
        self._session = session
        self._name = name
        self._tokens = tokens
        by_axes = {len(shape): input_name for input_name, shape in session.inputs}
        if len(session.inputs) != 2 or set(by_axes) != {2, 3}:
            raise ConfigurationError(
                f"{name} takes {list(session.inputs)}, not tokens (n, length) and features (n, places, width)"
            )
        self._tokens_name, self._features_name = by_axes[2], by_axes[3]
        shape = session.outputs[0][1] if session.outputs else ()
        if len(shape) not in (2, 3) or (isinstance(shape[-1], int) and shape[-1] != tokens):
            raise ConfigurationError(
                f"{name} gives {list(session.outputs)}; the first output must be logits of the {tokens} tokens of the"
                " vocabulary"
            )

    def log_probs(self, features: Float32s, tokens: Int64s) -> Float64s:
        """How likely every token is to come next.

        Args:
            features: (1, places, width) of one picture.
            tokens: (n, length) what came before, the same length for all.

        Returns:
            (n, tokens) float64 log probabilities.

        Raises:
            ConfigurationError: the network gave something else.
        """
        repeated = np.repeat(features, len(tokens), axis=0)
        logits = self._session.run({self._tokens_name: tokens, self._features_name: repeated})[0]
        last = logits[:, -1] if logits.ndim == 3 else logits
        if last.shape != (len(tokens), self._tokens) or np.isnan(last).any() or not (last < np.inf).all():
            raise ConfigurationError(
                f"{self._name} gives {logits.shape} for {tokens.shape} tokens, or what are no logits; there must be"
                f" {self._tokens} finite ones for each. Verify the pack"
            )
        wide = last.astype(np.float64)
        wide -= wide.max(axis=1, keepdims=True)
        log_probs: Float64s = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
        return log_probs
