"""The words of a captioner: a JSON file that a pack of task `captioning` carries.

    {"format": 1, "joining": "wordpiece", "begin": "[DEC]", "end": "[SEP]", "unknown": "[UNK]",
     "special": ["[PAD]"], "tokens": ["[PAD]", "[DEC]", "[SEP]", "[UNK]", "a", "man", "play", "##ing"]}

The place of a token in `tokens` is its id. Special tokens are never part of a caption.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from common.packs import parse_document

#: 50 257 tokens of GPT-2, every character of them escaped, take 1 MB.
MAX_BYTES: Final = 16 << 20

Token = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Vocabulary(BaseModel):
    """See the module.

    Attributes:
        format: version of this format.
        tokens: all tokens, by their ids.
        joining: how tokens become text. `wordpiece`, of BERT: a token is a word, and `##` continues the word before.
            `byte_level`, of GPT-2: every character stands for a byte, `Ġ` for a space.
        begin, end: the token that the decoder is started with, and the one that ends a caption; may be one and the
            same.
        unknown: the token of what has none; None where there always is one.
        special: further tokens that a caption never has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1]
    tokens: tuple[Token, ...] = Field(min_length=2, max_length=1 << 20)
    joining: Literal["wordpiece", "byte_level"]
    begin: Token
    end: Token
    unknown: Token | None = None
    special: tuple[Token, ...] = Field(default=(), max_length=10_000)

    @model_validator(mode="after")
    def _knows_its_tokens(self) -> Self:
        if len(self._ids) < len(self.tokens):
            raise ValueError("tokens: one is there twice")
        if missing := [token for token in self._specials if token not in self._ids]:
            raise ValueError(f"tokens: {missing[0]!r} is not among them")
        if len(set(self._specials)) == len(self.tokens):
            raise ValueError("tokens: every one is special, so no caption could be written")
        return self

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def begin_id(self) -> int:
        """Id of `begin`."""
        return self._ids[self.begin]

    @property
    def end_id(self) -> int:
        """Id of `end`."""
        return self._ids[self.end]

    @property
    def banned_ids(self) -> tuple[int, ...]:
        """Ids of the tokens that must not be chosen, ascending; `end` is none of them."""
        return tuple(sorted({self._ids[token] for token in self._specials if token != self.end}))

    def text(self, ids: Sequence[int]) -> str:
        """A caption: the tokens joined, without special ones, with single spaces between words."""
        hidden = set(self._specials)
        tokens = [self.tokens[each] for each in ids if self.tokens[each] not in hidden]
        joined = _join_pieces(tokens) if self.joining == "wordpiece" else _join_bytes(tokens)
        return " ".join(joined.split())

    @property
    def _specials(self) -> tuple[str, ...]:
        named = (self.begin, self.end) if self.unknown is None else (self.begin, self.end, self.unknown)
        return (*named, *self.special)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: place for place, token in enumerate(self.tokens)}


def load_vocabulary(path: Path) -> Vocabulary:
    """Read and check a vocabulary.

    Raises:
        ConfigurationError: unreadable, too large, not JSON, or not as the class says.
    """
    return parse_document(Vocabulary, path, "vocabulary", max_bytes=MAX_BYTES)


def _join_pieces(tokens: Sequence[str]) -> str:
    return "".join(token[2:] if token.startswith("##") else f" {token}" for token in tokens)


def _join_bytes(tokens: Sequence[str]) -> str:
    return bytes(_BYTES[character] for token in tokens for character in token if character in _BYTES).decode(
        "utf-8", errors="replace"
    )


def _byte_characters() -> dict[str, int]:
    """GPT-2's character for every byte: itself where it can be printed, else the next one from 256 on."""
    printed = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printed]
    return {chr(byte): byte for byte in printed} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES: Final = _byte_characters()
