"""Exact search on a real PostgreSQL."""

import uuid

import numpy as np
import pytest

from common.errors import ConflictError, NotFoundError
from common.store.database import Database, vector_literal
from common.store.search import GallerySearch
from common.types import Float32s
from tests.builders import MODEL_ID, a_unit_vector


@pytest.fixture
def gallery_id(database: Database) -> str:
    gallery = str(uuid.uuid4())
    with database.transaction() as cursor:
        cursor.execute("insert into galleries (id, name, model_id) values (%s, 'g', %s)", (gallery, MODEL_ID))
    return gallery


def enrol(database: Database, gallery_id: str, *references: Float32s, subject: int) -> str:
    subject_id = str(uuid.UUID(int=subject))
    with database.transaction() as cursor:
        cursor.execute("insert into subjects (id, gallery_id, name) values (%s, %s, 'x')", (subject_id, gallery_id))
        for reference in references:
            sample_id = str(uuid.uuid4())
            cursor.execute("insert into samples values (%s, %s, 0.9, 0.9, 'k')", (sample_id, subject_id))
            cursor.execute(
                "insert into sample_embeddings values (%s, %s, %s, %s, %s::halfvec)",
                (sample_id, gallery_id, subject_id, MODEL_ID, vector_literal(reference)),
            )
    return subject_id


def test_an_empty_gallery_has_no_candidates(database: Database, gallery_id: str) -> None:
    probes = a_unit_vector()[None]
    assert GallerySearch(database).candidates(gallery_id, MODEL_ID, probes, limit=5) == [()]


def test_a_subject_is_as_close_as_its_best_reference(database: Database, gallery_id: str) -> None:
    probe, far, near = a_unit_vector(seed=1), a_unit_vector(seed=2), a_unit_vector(seed=3)
    anna = enrol(database, gallery_id, far, probe, subject=1)
    ben = enrol(database, gallery_id, near, subject=2)
    ((first, second), (other, _)) = GallerySearch(database).candidates(
        gallery_id, MODEL_ID, np.array([probe, near]), limit=5
    )
    assert (first.subject_id, second.subject_id, other.subject_id) == (anna, ben, ben)
    assert first.similarity == pytest.approx(1, abs=1e-3)
    assert second.similarity == pytest.approx(float(probe @ near), abs=1e-3)


def test_equal_similarities_are_ordered_by_subject_id(database: Database, gallery_id: str) -> None:
    probe = a_unit_vector()
    ids = [enrol(database, gallery_id, probe, subject=number) for number in (5, 3, 4)]
    (found,) = GallerySearch(database).candidates(gallery_id, MODEL_ID, probe[None], limit=2)
    assert [candidate.subject_id for candidate in found] == sorted(ids)[:2]


def test_another_model_is_refused(database: Database, gallery_id: str) -> None:
    with pytest.raises(ConflictError, match="never compared"):
        GallerySearch(database).candidates(gallery_id, "other-model", a_unit_vector()[None], limit=5)


def test_a_gallery_that_is_gone_is_not_found(database: Database) -> None:
    with pytest.raises(NotFoundError):
        GallerySearch(database).candidates(str(uuid.uuid4()), MODEL_ID, a_unit_vector()[None], limit=5)
