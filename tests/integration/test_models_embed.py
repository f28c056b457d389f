"""The embed stage with real networks, held against InsightFace where it has an answer."""

import csv
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from insightface.model_zoo import model_zoo

from common.errors import CancelledError, ConfigurationError
from common.inference.ort import load_session
from common.packs import Pack, find_pack
from common.settings import EmbedSettings
from common.types import Faces, Frames, Tracklets, Uint8s, split_bytes
from tests.integration.models_fixtures import (
    MODELS,
    PEOPLE,
    find_reference,
    fix_axis,
    load_detector,
    load_embedder,
    no_check,
    read_photograph,
    rebuild,
)
from workers.detect.process import detect_faces
from workers.embed.align import align, align_crops, estimate_transforms
from workers.embed.embedder import Embedder
from workers.embed.jpeg import decode_crop
from workers.embed.process import embed_faces
from workers.embed.quality import measure_sharpness

MINI = find_pack("mini", [MODELS])


@pytest.fixture(scope="module")
def photograph() -> Uint8s:
    return read_photograph()


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder(MINI)


@pytest.fixture(scope="module")
def faces(photograph: Uint8s) -> Faces:
    """Six people in five frames, ever darker, without a break."""
    pixels = np.stack([(photograph * (1 - 0.05 * i)).astype(np.uint8) for i in range(5)])
    frames = Frames(pixels, np.arange(5, dtype=np.int64), np.arange(5, dtype=np.int64) * 200)
    found = detect_faces(frames, load_detector(MINI), batch_size=2, link=True, check=no_check)
    assert np.bincount(found.tracklet).tolist() == [5] * PEOPLE
    return found


@pytest.fixture(scope="module")
def crops(faces: Faces) -> Uint8s:
    return align_crops(faces.patches, faces.detections, np.arange(PEOPLE))


def embed(faces: Faces, embedder: Embedder, *, every_face: bool = False, crops: int = 3) -> Tracklets:
    return embed_faces(faces, embedder, crops_per_tracklet=crops, batch_size=4, every_face=every_face, check=no_check)


def without_faces(faces: Faces) -> Faces:
    keep = {"frame_index", "media_time_ms", "frame_size"}
    return replace(faces, **{name: array[:0] for name, array in faces.to_arrays().items() if name not in keep})


def assert_parity(pack: Pack, crops: Uint8s) -> None:
    theirs = model_zoo.get_model(str(pack.path(pack.embedder)), providers=["CPUExecutionProvider"])
    raw = theirs.get_feat([crop[..., ::-1] for crop in crops])
    ours = load_embedder(pack).embed(crops, batch_size=4, check=no_check)
    assert ours.shape == (len(crops), pack.embedder.dim)
    assert (ours * raw / np.linalg.norm(raw, axis=1, keepdims=True)).sum(axis=1).min() >= 0.9999


def read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Uint8s:
    file = archive.extractfile(member)
    assert file is not None
    return np.asarray(cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)


def test_no_crops_have_no_embeddings(embedder: Embedder) -> None:
    none = embedder.embed(np.zeros((0, 112, 112, 3), np.uint8), batch_size=4, check=no_check)
    assert none.shape == (0, 512)
    assert none.dtype == np.float32


@pytest.mark.parametrize("every_face", [True, False])
def test_frames_without_faces_give_no_tracklets(faces: Faces, embedder: Embedder, every_face: bool) -> None:
    nobody = embed(without_faces(faces), embedder, every_face=every_face)
    assert nobody.embeddings.shape == nobody.crop_embeddings.shape == (0, 512)
    assert len(nobody.best_face) == len(nobody.crop_ends) == len(nobody.thumb_ends) == 0
    assert len(nobody.frame_index) == 5


def test_the_mini_embedder_gives_what_insightface_gives_with_it(crops: Uint8s) -> None:
    assert_parity(MINI, crops)


def test_the_reference_embedder_gives_what_insightface_gives_with_it(crops: Uint8s, shared_dir: Path) -> None:
    assert_parity(find_reference(shared_dir), crops)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_a_crop_has_the_same_embedding_alone_and_in_a_batch(embedder: Embedder, crops: Uint8s, batch_size: int) -> None:
    together = embedder.embed(crops, batch_size=batch_size, check=no_check)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(len(crops)), abs=1e-5)
    for crop, embedding in zip(crops, together, strict=True):
        alone = embedder.embed(crop[None], batch_size=1, check=no_check)[0]
        assert alone @ embedding > 0.999999


def test_a_graph_that_takes_one_crop_gets_one_by_one(tmp_path: Path, embedder: Embedder, crops: Uint8s) -> None:
    def fix_batch(model: onnx.ModelProto) -> None:
        fix_axis(model.graph.input[0], 0, 1)
        fix_axis(model.graph.output[0], 0, 1)

    path = rebuild(MINI.path(MINI.embedder), tmp_path / "single.onnx", fix_batch)
    single = Embedder(load_session(path), MINI.embedder).embed(crops, batch_size=16, check=no_check)
    assert np.allclose(single, embedder.embed(crops, batch_size=16, check=no_check), atol=1e-5)


def test_a_network_that_is_not_what_the_manifest_says_is_refused() -> None:
    session = load_session(MINI.path(MINI.embedder))
    with pytest.raises(ConfigurationError, match="512 numbers, its manifest says 128"):
        Embedder(session, MINI.embedder.model_copy(update={"dim": 128}))
    with pytest.raises(ConfigurationError, match="is not an embedder"):
        Embedder(load_session(MINI.path(MINI.detector)), MINI.embedder)


def test_a_stopped_check_stops_between_runs(embedder: Embedder, crops: Uint8s) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        embedder.embed(crops, batch_size=2, check=check)
    assert calls == 2


def test_a_tracklet_gets_one_embedding_of_its_best_crops(faces: Faces, embedder: Embedder) -> None:
    found = embed(faces, embedder)
    assert found.tracklet.tolist() == faces.tracklet.tolist()
    assert found.embeddings.shape == (PEOPLE, 512)
    assert np.linalg.norm(found.embeddings, axis=1) == pytest.approx(np.ones(PEOPLE), abs=1e-5)
    assert np.bincount(found.crop_tracklet).tolist() == [3] * PEOPLE
    between = found.embeddings @ found.embeddings.T - np.eye(PEOPLE)
    assert between.max() < MINI.embedder.min_similarity_at()
    for tracklet in range(PEOPLE):
        rows = np.flatnonzero(found.crop_tracklet == tracklet)
        qualities = found.quality[found.crop_face[rows]]
        assert (np.diff(qualities) <= 0).all()
        assert found.best_face[tracklet] == found.crop_face[rows[0]]
        assert (found.crop_embeddings[rows] @ found.embeddings[tracklet]).min() > 0.7
        assert (found.tracklet[found.crop_face[rows]] == tracklet).all()
    assert np.isnan(found.quality).tolist() == np.isnan(found.sharpness).tolist()
    measured = found.quality[~np.isnan(found.quality)]
    assert ((measured >= 0) & (measured <= 1)).all()


def test_crops_and_thumbnails_are_pictures_and_a_crop_embeds_again_to_the_same(
    faces: Faces, embedder: Embedder
) -> None:
    found = embed(faces, embedder)
    files = split_bytes(found.crop_jpegs, found.crop_ends)
    again = embedder.embed(np.stack([decode_crop(file) for file in files]), batch_size=8, check=no_check)
    assert (again * found.crop_embeddings).sum(axis=1).min() > 0.99
    thumbnails = [decode_crop(file) for file in split_bytes(found.thumb_jpegs, found.thumb_ends)]
    assert len(thumbnails) == PEOPLE
    assert max(len(thumbnail) for thumbnail in thumbnails) == 160


def test_every_face_of_a_picture_is_embedded_and_measured(faces: Faces, embedder: Embedder) -> None:
    found = embed(faces, embedder, every_face=True)
    count = len(faces.frame)
    assert found.tracklet.tolist() == found.best_face.tolist() == found.crop_face.tolist() == list(range(count))
    assert found.embeddings.shape == (count, 512)
    assert not np.isnan(found.quality).any()
    assert not np.isnan(found.sharpness).any()


def test_two_people_in_one_tracklet_are_split(faces: Faces, embedder: Embedder) -> None:
    """The first two people change places in the last two frames, as if linked wrongly."""
    tracklet = faces.tracklet.copy()
    late = faces.frame >= 3
    tracklet[late & (faces.tracklet == 0)] = 1
    tracklet[late & (faces.tracklet == 1)] = 0
    found = embed(replace(faces, tracklet=tracklet), embedder, crops=5)  # the darker of two frames may be the better
    for person in range(PEOPLE):
        for half in (late, ~late):
            assert len(set(found.tracklet[half & (faces.tracklet == person)].tolist())) == 1
    assert len(found.embeddings) == PEOPLE + 2
    for number in range(len(found.embeddings)):
        assert len(set(faces.tracklet[found.tracklet == number].tolist())) == 1


def test_results_do_not_share_memory_with_what_came_in(faces: Faces, embedder: Embedder) -> None:
    found = embed(faces, embedder).to_arrays()
    for name, array in faces.to_arrays().items():
        for other in found.values():
            assert not np.shares_memory(array, other), name


def test_the_enrolment_bound_separates_sharp_from_blurred_faces(photograph: Uint8s, faces: Faces) -> None:
    bound = EmbedSettings().min_enrol_sharpness
    transforms = estimate_transforms(faces.landmarks[:PEOPLE])
    side = (faces.boxes[:PEOPLE, 2:] - faces.boxes[:PEOPLE, :2]).max(axis=1).mean()
    by_blur = []
    for share in (0.0, 0.02, 0.04, 0.08):
        blurred = np.asarray(cv2.GaussianBlur(photograph, (0, 0), max(share * side, 0.01)), np.uint8)
        by_blur.append(measure_sharpness(np.stack([align(blurred, transform) for transform in transforms])))
    assert (np.diff(by_blur, axis=0) <= 0.05).all(), by_blur
    assert (by_blur[0] > 2 * bound).all()
    assert (by_blur[3] < bound).all()


def test_pairs_of_one_person_are_more_alike_than_pairs_of_two(embedder: Embedder, shared_dir: Path) -> None:
    table, archive = shared_dir / "data" / "lfw-train-pairs.csv", shared_dir / "data" / "lfw-train.tar"
    if not (table.is_file() and archive.is_file()):
        pytest.skip("LFW is absent: no data/lfw-train.tar in the shared folder")
    with table.open(newline="") as lines:
        pairs = list(csv.DictReader(lines))[::32]
    names = sorted({pair[key] for pair in pairs for key in ("file_a", "file_b")})
    with tarfile.open(archive) as tar:
        members = {member.name.removeprefix("./").removeprefix("lfw/"): member for member in tar}
        pixels = np.stack([read_member(tar, members[name]) for name in names])
    numbers = np.arange(len(names), dtype=np.int64)
    found = detect_faces(
        Frames(pixels, numbers, numbers), load_detector(MINI, side_px=256), batch_size=8, link=False, check=no_check
    )
    embedded = embed(found, embedder, every_face=True)
    of_name = {}
    for number, name in enumerate(names):
        rows = np.flatnonzero(embedded.frame == number)
        middle = (embedded.boxes[rows, :2] + embedded.boxes[rows, 2:]) / 2
        if len(rows):
            of_name[name] = embedded.embeddings[rows[np.abs(middle - 125).sum(axis=1).argmin()]]
    assert len(of_name) >= 0.98 * len(names)
    similarity: dict[str, list[float]] = {"0": [], "1": []}
    for pair in pairs:
        if pair["file_a"] in of_name and pair["file_b"] in of_name:
            similarity[pair["same"]].append(float(of_name[pair["file_a"]] @ of_name[pair["file_b"]]))
    mated, non_mated = np.array(similarity["1"]), np.array(similarity["0"])
    assert min(len(mated), len(non_mated)) > 60
    assert mated.mean() > 0.4
    assert non_mated.mean() < 0.1
    bound = MINI.embedder.min_similarity_at()
    assert (mated >= bound).mean() > 0.5
    assert (non_mated >= bound).mean() < 0.05
