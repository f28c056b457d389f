"""What the documents have in common."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from common.documents import Document, Id, Time
from common.store.paging import Page, Row

__all__ = ["Box", "Document", "Id", "Landmarks", "NextCursor", "Time", "page_of"]

Box = Annotated[list[float], Field(min_length=4, max_length=4, description="[x1, y1, x2, y2], px.")]
Landmarks = Annotated[
    list[Annotated[list[float], Field(min_length=2, max_length=2)]],
    Field(min_length=5, max_length=5, description="Eyes, nose, mouth corners as [x, y], image-left first, px."),
]
NextCursor = Annotated[str | None, Field(description="Cursor of the next page; null on the last one.")]


def page_of(page: Page, render: Callable[[Row], Document]) -> dict[str, Any]:
    """Arguments of a page document."""
    return {"items": [render(row) for row in page.items], "next_cursor": page.next_cursor}
