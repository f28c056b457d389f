"""A synthetic gallery spread evenly over the sphere, which no index can cut into clusters: the hard case."""

import io
import uuid
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from common.store.database import Database
from common.types import Float32s, Int64s

DIMENSION = 512
MODEL_ID = "synthetic"

#: Rows in one COPY: more than the log of changes takes, as in a bulk import.
_COPY_ROWS = 16_384

Float16s = npt.NDArray[np.float16]


def make_references(count: int, seed: int) -> Float16s:
    """(count, DIMENSION) as stored, each a subject of its own."""
    random = np.random.default_rng(seed)
    references = np.empty((count, DIMENSION), np.float16)
    for start in range(0, count, _COPY_ROWS):
        part = random.standard_normal((min(_COPY_ROWS, count - start), DIMENSION), dtype=np.float32)
        references[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return references


def make_probes(references: Float16s, count: int, similarity: float, seed: int) -> tuple[Float32s, Int64s]:
    """Noisy copies of some references at about this similarity to them: probes, and whose copy each is."""
    random = np.random.default_rng(seed)
    mates = random.choice(len(references), count, replace=False)
    noise = random.standard_normal((count, DIMENSION)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    probes = similarity * references[mates].astype(np.float32) + np.sqrt(1 - similarity**2) * noise
    return np.asarray(probes / np.linalg.norm(probes, axis=1, keepdims=True), np.float32), mates


def subject_id(number: int) -> str:
    """Id of the subject whose only reference is `number`."""
    return str(uuid.UUID(int=number + 1))


def store(database: Database, gallery_id: str, references: Float16s, model_id: str = MODEL_ID) -> Iterator[int]:
    """Write a gallery in parts; gives the number of references stored so far."""
    with database.transaction() as cursor:
        cursor.execute(
            "insert into galleries (id, name, model_id) values (%s, %s, %s)", (gallery_id, gallery_id, model_id)
        )
    for start in range(0, len(references), _COPY_ROWS):
        stop = min(start + _COPY_ROWS, len(references))
        numbers = np.arange(start, stop)
        with database.transaction() as cursor:
            cursor.execute(
                "insert into subjects (id, gallery_id, name) select lpad(to_hex(n), 32, '0')::uuid, %s::uuid, 'x'"
                " from generate_series(%s, %s) n",
                (gallery_id, start + 1, stop),
            )
            cursor.execute(
                "insert into samples (id, subject_id, det_score, quality, crop_key)"
                " select lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 1, 1, ''"
                " from generate_series(%s, %s) n",
                (start + 1, stop),
            )
            cursor.copy_expert(
                "copy sample_embeddings (sample_id, gallery_id, subject_id, model_id, embedding) from stdin"
                " (format binary)",
                _binary(gallery_id, numbers, references[start:stop], model_id),
            )
        yield stop


def _binary(gallery_id: str, numbers: Int64s, references: Float16s, model_id: str) -> io.BytesIO:
    model = model_id.encode()
    layout = np.dtype(
        [
            ("fields", ">i2"),
            ("sample_bytes", ">i4"),
            ("sample", ">u8", (2,)),
            ("gallery_bytes", ">i4"),
            ("gallery", "V16"),
            ("subject_bytes", ">i4"),
            ("subject", ">u8", (2,)),
            ("model_bytes", ">i4"),
            ("model", f"V{len(model)}"),
            ("embedding_bytes", ">i4"),
            ("dimension", ">i2"),
            ("unused", ">i2"),
            ("embedding", ">f2", (DIMENSION,)),
        ]
    )
    rows = np.zeros(len(numbers), layout)
    rows["fields"] = 5
    rows["sample_bytes"] = rows["gallery_bytes"] = rows["subject_bytes"] = 16
    rows["sample"][:, 1] = rows["subject"][:, 1] = numbers + 1
    rows["gallery"] = np.frombuffer(uuid.UUID(gallery_id).bytes, "V16")[0]
    rows["model_bytes"] = len(model)
    rows["model"] = np.frombuffer(model, f"V{len(model)}")[0]
    rows["embedding_bytes"] = 4 + 2 * DIMENSION
    rows["dimension"] = DIMENSION
    rows["embedding"] = references
    return io.BytesIO(b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff")
