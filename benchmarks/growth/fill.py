"""Galleries of any size, written into a stack's store as `make bench-gallery` writes them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.gallery.crowd import make_references, store
from benchmarks.growth.measure import Site
from common.store.database import Database


@contextmanager
def crowded(where: Site, subjects: int, model_id: str) -> Iterator[str]:
    """Name of a gallery of so many subjects, each with one reference that is like nobody's; removed at the end.

    Args:
        model_id: of the stack's active pack.
    """
    name = str(uuid.uuid4())
    database = Database(where.database_url, size=2, application="facepipe-bench")
    try:
        for _ in store(database, name, make_references(subjects, seed=subjects), model_id):
            pass
        with database.transaction() as cursor:
            cursor.execute("analyze sample_embeddings")
        yield name
    finally:
        with database.transaction() as cursor:
            cursor.execute("delete from galleries where id = %s", (name,))
        database.close()
