"""Attributes, dense landmarks and pose, held against InsightFace's own classes on the same networks and pictures."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from insightface.app.common import Face
from insightface.model_zoo.attribute import Attribute
from insightface.model_zoo.landmark import Landmark

from common.errors import CancelledError, ConfigurationError
from common.inference.ort import load_session
from common.packs import ImageInput, find_pack
from common.stage.answers import describe_faces
from common.types import Faces, Frames, Tracklets, Uint8s
from tests.integration.head_networks import SHAPES, write_head
from tests.integration.models_fixtures import MODELS, PEOPLE, load_detector, load_embedder, no_check, read_photograph
from workers.detect.process import detect_faces
from workers.embed.box_network import BoxNetwork
from workers.embed.heads import WIDTHS, Heads
from workers.embed.landmarks import five_points
from workers.embed.process import embed_faces
from workers.embed.quality import rate_pose

MINI = find_pack("mini", [MODELS])

#: What InsightFace takes for networks that do not normalise by themselves.
NORMALISED = {"mean": 127.5, "std": 128.0}
RAW = {"mean": 0.0, "std": 1.0}


def load_network(path: Path, contract: str, normalisation: dict[str, float]) -> BoxNetwork:
    image = ImageInput(side_px=SHAPES[contract][0], **normalisation)
    return BoxNetwork(load_session(path), path.name, image, widths=WIDTHS[contract])


def make_heads(**networks: Callable[[], BoxNetwork]) -> Heads:
    return Heads(networks)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("heads")
    return {contract: write_head(folder / f"{contract}.onnx", contract) for contract in SHAPES}


@pytest.fixture(scope="module")
def heads(paths: dict[str, Path]) -> Heads:
    def loader(contract: str) -> Callable[[], BoxNetwork]:
        return lambda: load_network(paths[contract], contract, NORMALISED)

    return Heads({contract: loader(contract) for contract in SHAPES})


@pytest.fixture(scope="module")
def photograph() -> Uint8s:
    return read_photograph()


@pytest.fixture(scope="module")
def faces(photograph: Uint8s) -> Faces:
    frames = Frames(photograph[None], np.zeros(1, np.int64), np.zeros(1, np.int64))
    return detect_faces(frames, load_detector(MINI), batch_size=1, link=False, check=no_check)


def everybody(faces: Faces) -> np.ndarray:
    return np.arange(len(faces.frame), dtype=np.int64)


def theirs(model: Attribute | Landmark, photograph: Uint8s, faces: Faces) -> list[Face]:
    found = []
    for box in faces.boxes:
        face = Face(bbox=box)
        model.get(photograph[..., ::-1], face)
        found.append(face)
    return found


def embed(faces: Faces, heads: Heads, *, attributes: bool, every_face: bool = True) -> Tracklets:
    return embed_faces(
        faces,
        load_embedder(MINI),
        crops_per_tracklet=3,
        batch_size=4,
        every_face=every_face,
        check=no_check,
        heads=heads,
        attributes=attributes,
    )


def test_attributes_are_insightfaces(paths: dict[str, Path], heads: Heads, photograph: Uint8s, faces: Faces) -> None:
    model = Attribute(str(paths["genderage"]))
    guesses = heads.guess(faces, everybody(faces), dense=False, batch_size=4, check=no_check)
    assert len(guesses.age) == PEOPLE
    for i, face in enumerate(theirs(model, photograph, faces)):
        assert guesses.age[i] == pytest.approx(max(face["age"], 0), abs=1.0)
        # where the two numbers are nearly equal, the finest difference of the crops decides
        if abs(guesses.female_score[i] - 0.5) > 0.01:
            assert (guesses.female_score[i] >= 0.5) == (face["gender"] == 0)
    assert guesses.landmarks_106.size == guesses.landmarks_68.size == 0
    assert np.isnan(guesses.pose).all()


def test_dense_landmarks_and_pose_are_insightfaces(
    paths: dict[str, Path], heads: Heads, photograph: Uint8s, faces: Faces
) -> None:
    guesses = heads.guess(faces, everybody(faces), dense=True, batch_size=4, check=no_check)
    plane = theirs(Landmark(str(paths["landmark_2d_106"])), photograph, faces)
    space = theirs(Landmark(str(paths["landmark_3d_68"])), photograph, faces)
    for i in range(PEOPLE):
        assert np.abs(guesses.landmarks_106[i] - plane[i]["landmark_2d_106"]).max() < 0.5
        assert np.abs(guesses.landmarks_68[i] - space[i]["landmark_3d_68"]).max() < 0.5
        assert np.abs(guesses.pose[i] - space[i]["pose"]).max() < 0.5


def test_the_reference_network_gives_what_insightface_gives_with_it(
    shared_dir: Path, photograph: Uint8s, faces: Faces
) -> None:
    path = shared_dir / "models" / "reference" / "attr_agegender_if96.onnx"
    if not path.is_file():
        pytest.skip(
            "the reference weights are absent: no models/reference/attr_agegender_if96.onnx in the shared folder"
        )
    heads = make_heads(genderage=lambda: load_network(path, "genderage", RAW))
    guesses = heads.guess(faces, everybody(faces), dense=False, batch_size=4, check=no_check)
    model = Attribute(str(path))
    assert (model.input_mean, model.input_std) == (0.0, 1.0)
    for i, face in enumerate(theirs(model, photograph, faces)):
        assert (guesses.female_score[i] >= 0.5) == (face["gender"] == 0)
        assert guesses.age[i] == pytest.approx(face["age"], abs=3.0)


@pytest.mark.parametrize("contract", list(SHAPES))
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_a_face_is_told_the_same_alone_and_in_a_batch(
    paths: dict[str, Path], faces: Faces, contract: str, batch_size: int
) -> None:
    network = load_network(paths[contract], contract, NORMALISED)
    together = network.look(faces.patches, faces.boxes, everybody(faces), batch_size=batch_size, check=no_check)
    for i in range(PEOPLE):
        alone = network.look(faces.patches, faces.boxes, np.array([i]), batch_size=1, check=no_check)
        assert np.abs(alone[0] - together[i]).max() < 1e-4


def test_a_graph_that_takes_one_crop_gets_one_by_one(tmp_path: Path, paths: dict[str, Path], faces: Faces) -> None:
    single = load_network(write_head(tmp_path / "one.onnx", "genderage", batch=1), "genderage", NORMALISED)
    open_axis = load_network(paths["genderage"], "genderage", NORMALISED)
    ours, others = (
        network.look(faces.patches, faces.boxes, everybody(faces), batch_size=16, check=no_check)
        for network in (single, open_axis)
    )
    assert np.abs(ours - others).max() < 1e-4


@pytest.mark.parametrize(
    ("contract", "change", "said"),
    [
        ("genderage", {"width": 4}, "bad.onnx gives 4 numbers a crop, not 3"),
        ("landmark_3d_68", {"width": 200}, "not 3309 or 204"),
        ("genderage", {"batch": 8}, "takes exactly 8 crops a run"),
    ],
)
def test_a_network_that_is_not_what_its_contract_says_is_refused(
    tmp_path: Path, contract: str, change: dict[str, int], said: str
) -> None:
    path = write_head(tmp_path / "bad.onnx", contract, **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=said):
        load_network(path, contract, NORMALISED)
    with pytest.raises(ConfigurationError, match="not crops of 96 x 96"):
        BoxNetwork(load_session(MINI.path(MINI.embedder)), "x", ImageInput(side_px=96, **NORMALISED), widths=(512,))
    with pytest.raises(ConfigurationError, match="one input and one output"):
        BoxNetwork(load_session(MINI.path(MINI.detector)), "x", ImageInput(side_px=640, **NORMALISED), widths=(3,))


def test_a_stopped_check_stops_between_runs(paths: dict[str, Path], faces: Faces) -> None:
    network = load_network(paths["genderage"], "genderage", NORMALISED)
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        network.look(faces.patches, faces.boxes, everybody(faces), batch_size=2, check=check)
    assert calls == 2


def test_nothing_is_loaded_unless_it_is_asked_for(faces: Faces) -> None:
    def refuse() -> BoxNetwork:
        raise AssertionError("loaded")

    lazy = make_heads(genderage=refuse, landmark_2d_106=refuse, landmark_3d_68=refuse)
    found = embed(faces, lazy, attributes=False)
    assert np.isnan(found.crop_age).all()
    with pytest.raises(AssertionError, match="loaded"):
        embed(faces, lazy, attributes=True)


def test_a_call_describes_each_face_with_its_own_guesses(heads: Heads, faces: Faces) -> None:
    found = embed(faces, heads, attributes=True)
    expected = heads.guess(faces, everybody(faces), dense=True, batch_size=4, check=no_check)
    documents = describe_faces(found, "m")["faces"]
    for i, document in enumerate(documents):
        assert document["attributes"]["age"] == pytest.approx(expected.age[i], abs=0.06)
        assert np.abs(np.array(document["landmarks_106"]) - expected.landmarks_106[i]).max() < 1e-2
        assert np.abs(np.array(document["landmarks_68"]) - expected.landmarks_68[i]).max() < 1e-2
        assert document["frontality"] == pytest.approx(rate_pose(faces.landmarks[i : i + 1])[0], abs=1e-4)
        assert list(document["pose"].values()) == pytest.approx(expected.pose[i], abs=1e-2)
    plain = describe_faces(embed(faces, heads, attributes=False), "m")["faces"]
    added = {"attributes", "pose", "landmarks_106", "landmarks_68"}
    assert all(set(document) - set(bare) == added for document, bare in zip(documents, plain, strict=True))


def test_a_job_guesses_ages_of_its_best_crops_and_nothing_dense(heads: Heads, faces: Faces) -> None:
    found = embed(faces, heads, attributes=True, every_face=False)
    assert not np.isnan(found.crop_age).any()
    assert found.crop_landmarks_106.size == found.crop_landmarks_68.size == 0


@pytest.mark.parametrize("contract", ["landmark_2d_106", "landmark_3d_68"])
def test_faces_without_landmarks_get_theirs_from_the_dense_ones(
    paths: dict[str, Path], heads: Heads, faces: Faces, contract: str
) -> None:
    bare = faces.landmarks.copy()
    bare[1:3] = np.nan
    only = make_heads(**{contract: lambda: load_network(paths[contract], contract, NORMALISED)})
    completed = only.complete_landmarks(replace(faces, landmarks=bare), batch_size=4, check=no_check)
    assert (completed[[0, 3, 4, 5]] == faces.landmarks[[0, 3, 4, 5]]).all()
    dense = heads.guess(faces, np.array([1, 2]), dense=True, batch_size=4, check=no_check)
    points = dense.landmarks_106 if contract == "landmark_2d_106" else dense.landmarks_68
    assert np.abs(completed[1:3] - five_points(points)).max() < 1e-3


def test_faces_without_landmarks_and_without_a_network_for_them_cannot_be_embedded(faces: Faces) -> None:
    bare = replace(faces, landmarks=np.full_like(faces.landmarks, np.nan))
    with pytest.raises(ConfigurationError, match="landmark_2d_106"):
        embed(bare, make_heads(), attributes=False)
