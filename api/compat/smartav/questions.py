"""Questions about captions, from a small corpus: the entries whose text is most like the caption.

A corpus of one's own is a JSON file, `FACEPIPE_CAPTION__QUESTIONS`:

    [{"text": "a man playing a guitar", "question": "Which of these has six strings?", "options": ["A guitar", "…"]}]
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints

from common.packs import parse_document

#: An entry is about a caption if so much of both texts is the same.
MIN_RATIO: Final = 0.7

_MAX_BYTES: Final = 16 << 20
_Line = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Entry(BaseModel):
    """A question.

    Attributes:
        text: the caption that it belongs to.
        question: what is asked.
        options: possible answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: _Line
    question: _Line
    options: tuple[_Line, ...] = Field(max_length=100)


class _File(RootModel[tuple[Entry, ...]]):
    root: tuple[Entry, ...] = Field(max_length=1000)


#: What is asked where no corpus is set; as many entries as the original had, on the same subjects.
EXAMPLES: Final = (
    Entry(
        text="a man playing a guitar on a stage",
        question="How many strings does a guitar usually have?",
        options=("Four", "Six", "Eight"),
    ),
    Entry(
        text="people playing soccer on a field",
        question="How many players of a soccer team are on the field?",
        options=("Nine", "Eleven", "Thirteen"),
    ),
)


def load_corpus(path: Path | None) -> tuple[Entry, ...]:
    """The entries of a file; the examples without one.

    Raises:
        ConfigurationError: it cannot be read, or is no such file.
    """
    return EXAMPLES if path is None else parse_document(_File, path, "corpus of questions", max_bytes=_MAX_BYTES).root


def find_questions(caption: str, corpus: Sequence[Entry], *, limit: int) -> list[tuple[int, Entry]]:
    """The entries about a caption, with their places in the corpus, the most alike first; often none."""
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(caption.lower())
    rated = []
    for place, entry in enumerate(corpus):
        matcher.set_seq1(entry.text.lower())
        if matcher.real_quick_ratio() >= MIN_RATIO and (ratio := matcher.ratio()) >= MIN_RATIO:
            rated.append((-ratio, place, entry))
    rated.sort(key=lambda each: each[:2])
    return [(place, entry) for _, place, entry in rated[:limit]]
