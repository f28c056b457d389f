"""What the documents have in common."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from common.documents import Document, Id, Time
from common.store.paging import Page, Row

__all__ = ["Attributes", "Box", "Document", "Guessed", "Id", "Landmarks", "NextCursor", "Time", "page_of"]

Kind = TypeVar("Kind")

Box = Annotated[list[float], Field(min_length=4, max_length=4, description="[x1, y1, x2, y2], px.")]
Landmarks = Annotated[
    list[Annotated[list[float], Field(min_length=2, max_length=2)]],
    Field(min_length=5, max_length=5, description="Eyes, nose, mouth corners as [x, y], image-left first, px."),
]
Guessed = Annotated[Kind | None, Field(exclude_if=lambda value: value is None)]
"""Something that is there only where it was asked for."""
NextCursor = Annotated[str | None, Field(description="Cursor of the next page; null on the last one.")]


class Attributes(Document):
    """A guess by a network at how somebody looks, not a fact about them; of a track or appearance, the average."""

    age: float = Field(description="Years.")
    gender: Literal["female", "male"] = Field(description="The presentation that the network knows better.")
    gender_score: float = Field(description="0.5 (undecided) to 1; not a calibrated probability.")


def page_of(page: Page, render: Callable[[Row], Document]) -> dict[str, Any]:
    """Arguments of a page document."""
    return {"items": [render(row) for row in page.items], "next_cursor": page.next_cursor}
