"""A captioner whose right answers are known, its vocabulary, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import CancelledError, ConfigurationError
from common.inference.ort import load_session
from common.packs import CaptioningModel, find_pack
from common.vocabulary import Vocabulary, load_vocabulary
from tests.picture_packs import SENTENCES, write_pack
from workers.caption.captioner import Captioner
from workers.caption.networks import Decoder, Encoder

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def no_check() -> None:
    """Never stops the work."""


def load(folder: Path, **changes: Any) -> Captioner:
    if not (folder / "words").exists():
        write_pack(folder / "words", captions=True)
    pack = find_pack("words", [folder])
    files = pack.manifest.captioner
    assert files is not None
    spec = CaptioningModel.model_validate(files[0].model_dump() | changes)
    vocabulary = load_vocabulary(pack.path(files[2]))
    encoder = Encoder(load_session(pack.path(spec)), spec)
    decoder = Decoder(load_session(pack.path(files[1])), "decoder.onnx", tokens=len(vocabulary))
    return Captioner(encoder, decoder, vocabulary, spec)


@pytest.mark.parametrize("beams", [1, 3, 16])
def test_every_colour_has_its_sentence(tmp_path: Path, beams: int) -> None:
    captioner = load(tmp_path, beams=beams)
    captions = [captioner.caption(np.full((9, 7, 3), colour, np.uint8), check=no_check) for colour in COLOURS]
    assert captions == [sentence.replace(" ##", "") for sentence in SENTENCES]


def test_a_caption_is_cut_at_its_greatest_length(tmp_path: Path) -> None:
    captioner = load(tmp_path, min_tokens=1, max_tokens=3)
    assert captioner.caption(np.full((9, 7, 3), COLOURS[2], np.uint8), check=no_check) == "nothing but plain"


def test_work_stops_where_nobody_waits(tmp_path: Path) -> None:
    def gone() -> None:
        raise CancelledError("nobody waits")

    with pytest.raises(CancelledError):
        load(tmp_path).caption(np.zeros((9, 7, 3), np.uint8), check=gone)


def test_a_decoder_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    write_pack(tmp_path / "words", captions=True)
    session = load_session(tmp_path / "words" / "decoder.onnx")
    with pytest.raises(ConfigurationError, match="logits of the 7 tokens"):
        Decoder(session, "decoder.onnx", tokens=7)
    with pytest.raises(ConfigurationError, match="not tokens"):
        Decoder(load_session(tmp_path / "words" / "encoder.onnx"), "encoder.onnx", tokens=7)


def vocabulary(**changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "joining": "wordpiece",
        "begin": "[B]",
        "end": "[E]",
        "unknown": "[U]",
        "special": ["[P]"],
        "tokens": ["[P]", "[B]", "[E]", "[U]", "Snow", "##board", "##er", "."],
        **changes,
    }


def test_pieces_of_words_are_joined_and_special_tokens_left_out() -> None:
    words = Vocabulary.model_validate(vocabulary())
    assert words.text([1, 4, 5, 6, 0, 4, 3, 2]) == "Snowboarder Snow"
    assert words.text([]) == ""
    assert (words.begin_id, words.end_id, words.banned_ids) == (1, 2, (0, 1, 3))


def test_bytes_are_joined_as_gpt_2_does() -> None:
    tokens = ["<|end|>", "Ġa", "Ġcaf", "Ã", "©", "Ċ"]
    end = {"begin": "<|end|>", "end": "<|end|>", "unknown": None, "special": []}
    words = Vocabulary.model_validate(vocabulary(tokens=tokens, joining="byte_level", **end))
    assert words.text([1, 2, 3, 4, 5]) == "a café"
    assert words.text([1, 3]) == "a\N{REPLACEMENT CHARACTER}"
    assert words.banned_ids == ()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"begin": "[X]"}, "'\\[X\\]' is not among them"),
        ({"tokens": ["[P]", "[B]", "[E]", "[U]", "a", "a"]}, "one is there twice"),
        ({"tokens": ["[P]", "[B]", "[E]", "[U]"]}, "every one is special"),
        ({"joining": "spaces"}, "joining"),
        ({"words": []}, "words"),
    ],
)
def test_a_bad_vocabulary_is_refused_naming_why(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    (tmp_path / "words.json").write_text(json.dumps(vocabulary(**changes)))
    with pytest.raises(ConfigurationError, match=match):
        load_vocabulary(tmp_path / "words.json")
