"""A picture in, a caption out."""

from collections.abc import Callable

from common.packs import CaptioningModel
from common.types import Int64s, Uint8s
from common.vocabulary import Vocabulary
from workers.caption.networks import Decoder, Encoder
from workers.caption.search import Float64s, Rules, search_beams, search_greedily


class Captioner:
    """Thread-safe.

    Args:
        encoder, decoder: see there.
        vocabulary: the decoder's tokens.
        spec: the encoder's entry in the manifest, which says how captions are searched.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, vocabulary: Vocabulary, spec: CaptioningModel) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._beams = spec.beams
        self._rules = Rules(
            begin=vocabulary.begin_id,
            end=vocabulary.end_id,
            banned=vocabulary.banned_ids,
            min_tokens=spec.min_tokens,
            max_tokens=spec.max_tokens,
        )

    def caption(self, pixels: Uint8s, *, check: Callable[[], None]) -> str:
        """A sentence about a picture, in lower case.

        Args:
            pixels: (height, width, 3) uint8 RGB.
            check: called before every run; raises to stop.
        """
        check()
        features = self._encoder.look(pixels)

        def next_log_probs(tokens: Int64s) -> Float64s:
            check()
            return self._decoder.log_probs(features, tokens)

        if self._beams == 1:
            tokens = search_greedily(next_log_probs, self._rules)
        else:
            tokens = search_beams(next_log_probs, self._rules, beams=self._beams)
        return self._vocabulary.text(tokens).lower()
