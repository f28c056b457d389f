"""The face table as the tables of the two predecessors, to be read by scripts that used to read those.

They are made where somebody asks for them. They stand on functions rather than on the tables of galleries, so that no
later migration meets a view that depends on what it changes.
"""

from typing import Any, Final

import psycopg2.errors
from psycopg2.sql import SQL, Literal

from common.errors import ConflictError
from common.store.database import Database

_FUNCTIONS: Final = SQL(
    "create or replace function old_sample_faces()"
    " returns table (id int, subject uuid, at timestamp, sample_id text, name text, meta_data text, action text)"
    " language sql stable as $$"
    " select row_number() over (order by s.created_at, s.id), s.id, s.created_at::timestamp,"
    "  coalesce(s.external_id, s.id::text), coalesce(s.metadata->>'name', s.name),"
    "  coalesce(s.metadata->>'metadata', ''), coalesce(s.metadata->>'action', '')"
    " from subjects s join galleries g on g.id = s.gallery_id where g.name = {gallery} $$;"
    " create or replace function old_feature_vectors()"
    " returns table (id int, face_id int, at timestamp, vector text) language sql stable as $$"
    " select row_number() over (order by a.created_at, a.id), f.id, a.created_at::timestamp,"
    "  array_to_json(e.embedding::real[])::text"
    " from old_sample_faces() f join samples a on a.subject_id = f.subject"
    " join sample_embeddings e on e.sample_id = a.id"
    " join galleries g on g.id = e.gallery_id and g.model_id = e.model_id $$;"
)

_VIEWS: Final = SQL(
    "create or replace view sample_face_vectors as select v.id, v.at as created, v.at as modified, f.sample_id, f.name,"
    "  f.meta_data as metadata, f.action, v.vector"
    " from old_feature_vectors() v join old_sample_faces() f on f.id = v.face_id;"
    " create or replace view sample_faces as select id, at as created_at, at as last_updated, sample_id, name,"
    "  meta_data, action from old_sample_faces();"
    " create or replace view feature_vectors as select id, at as created_at, at as last_updated, face_id, vector"
    " from old_feature_vectors()"
)


def make_face_views(database: Database, gallery: str) -> None:
    """Make `sample_face_vectors` (002), `sample_faces` and `feature_vectors` (003), or leave them as they are.

    Args:
        gallery: whose subjects they show.

    Raises:
        ConflictError: the database has tables of these names.
    """
    statements: Any = _FUNCTIONS.format(gallery=Literal(gallery)) + _VIEWS
    with database.transaction() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtext('face views'))")  # else two at a time collide
        try:
            cursor.execute(statements)
        except psycopg2.errors.WrongObjectType as error:
            raise ConflictError(
                "The database of facepipe has tables of an older project (sample_face_vectors, sample_faces or"
                " feature_vectors): rename them, or give facepipe a database of its own."
            ) from error
