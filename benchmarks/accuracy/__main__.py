"""`make accuracy`: what each pack is worth on LFW, through the engine that the pools use.

Verification and detector recall per pack, as a table, and into `models/accuracy.json`, which is committed: a pack that
gets worse fails the tests (tests/accuracy). Everybody is measured on the people of the fold that no network of ours
has learnt from; packs that have never seen LFW also on all official pairs that are at hand.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.accuracy.crowds import make_crowds
from benchmarks.accuracy.detection import DOUBTFUL_SCORE, compare_detectors
from benchmarks.accuracy.verification import compare_everybody, cross_validated_accuracy
from common.inference.ort import OrtSession, load_session
from common.inference.tensorrt import EngineBuild
from common.packs import Pack, find_pack, verify
from common.settings import InferenceSettings, Settings
from common.types import Faces, Float32s, Frames, Uint8s
from training.lfw import HELD_OUT_FOLD, PAIRS_PER_FOLD, held_out_people, main_face, read_archive, read_pairs
from workers.detect.by_size import DetectorBySize, input_sizes
from workers.detect.process import detect_faces
from workers.embed.align import CROP_SIDE_PX
from workers.embed.embedder import Embedder
from workers.embed.process import embed_faces

COMMITTED: Final = Path(__file__).parent.parent.parent / "models" / "accuracy.json"

#: The detector whose faces are the truth of recall.
REFERENCE: Final = "reference"

#: Packs that learnt from LFW: only the people set aside say anything about them.
TAUGHT_ON_LFW: Final = frozenset({"mini"})

COST_RUNS: Final = 30
FALSE_MATCH_RATES: Final = (1e-2, 1e-3, 1e-4)

_BATCH_SIZE: Final = 16

Figures = dict[str, Any]


def load_detector(pack: Pack, *, min_det_score: float | None = None) -> DetectorBySize:
    """The pack's detector as the detect pool runs it."""
    spec = pack.detector
    if min_det_score is not None:
        spec = spec.model_copy(update={"min_det_score": min_det_score})
    settings = Settings().detect
    rows = [(3, size.height_px, size.width_px) for size in input_sizes(settings.input_side_px)]
    return DetectorBySize.of(_load(pack.path(spec), settings, rows), spec, side_px=settings.input_side_px)


def load_embedder(pack: Pack) -> Embedder:
    """The pack's embedder as the embed pool runs it."""
    rows = [(3, CROP_SIDE_PX, CROP_SIDE_PX)]
    return Embedder(_load(pack.path(pack.embedder), Settings().embed, rows), pack.embedder)


def _load(path: Path, settings: InferenceSettings, rows: Sequence[tuple[int, ...]]) -> OrtSession:
    """On the device and in the precision of the pool."""
    build = EngineBuild(rows, _BATCH_SIZE, is_half=settings.precision == "float16")
    return load_session(path, device=settings.device, build=build)


def embed_photographs(pack: Pack, names: Sequence[str], images: Sequence[Uint8s]) -> tuple[list[int], Float32s]:
    """Embed the main face of each photograph.

    Returns:
        Positions of the photographs in which a face was found, and (found, dim) float32 of unit length.
    """
    detector = load_detector(pack)
    embedder = load_embedder(pack)
    rows, embeddings = [], []
    for row in track(range(len(names)), f"{pack.name}: embedding", transient=True, disable=not sys.stderr.isatty()):
        faces = find_faces(detector, images[row])
        if len(faces.frame):
            found = embed_faces(
                faces, embedder, crops_per_tracklet=1, batch_size=1, every_face=True, check=lambda: None
            )
            rows.append(row)
            embeddings.append(found.embeddings[main_face(faces.boxes)])
    return rows, np.array(embeddings, np.float32)


def find_faces(detector: DetectorBySize, image: Uint8s) -> Faces:
    """What the detect stage makes of one picture."""
    frames = Frames(image[None], np.zeros(1, np.int64), np.zeros(1, np.int64))
    return detect_faces(frames, detector, batch_size=1, link=False, check=lambda: None)


def verification(pack: Pack, data: Path, folds: Iterable[int]) -> Figures:
    """Figures over the official pairs of some folds and over all pairs of their photographs.

    A photograph without a face counts as a wrong answer in the official pairs.
    """
    pairs = read_pairs(data)
    chosen = [(fold, pair) for fold in folds for pair in pairs[(fold - 1) * PAIRS_PER_FOLD : fold * PAIRS_PER_FOLD]]
    people = {name.split("/")[0] for _, pair in chosen for name in pair[:2]}
    names, images = read_archive(data, people)
    rows, embeddings = embed_photographs(pack, names, images)
    place = {names[row]: position for position, row in enumerate(rows)}
    similarities = np.array(
        [
            embeddings[place[a]] @ embeddings[place[b]] if a in place and b in place else np.nan
            for _, (a, b, _) in chosen
        ]
    )
    is_mated = np.array([pair[2] for _, pair in chosen])
    # a missing face is as unlike as can be in a mated pair, and as alike as can be in a non-mated one
    similarities = np.where(np.isnan(similarities), np.where(is_mated, -1, 1), similarities)
    everybody = compare_everybody(embeddings, np.array([names[row].split("/")[0] for row in rows]))
    return {
        "photographs": len(names),
        "without_a_face": len(names) - len(rows),
        "pairs": len(chosen),
        "accuracy": round(cross_validated_accuracy(similarities, is_mated, _folds(is_mated)), 4),
        "mated_pairs": len(everybody.mated),
        "non_mated_pairs": len(everybody.non_mated),
        "fnmr": {f"{fmr:.0e}": round(everybody.fnmr_at(fmr), 4) for fmr in FALSE_MATCH_RATES},
        "min_similarity": {f"{fmr:.0e}": round(everybody.bound_at(fmr), 3) for fmr in FALSE_MATCH_RATES},
    }


def detection(pack: Pack, reference: Pack, data: Path) -> Figures:
    """Figures of the pack's detector on the photographs of the people set aside, and on crowds made of them."""
    truth = load_detector(reference, min_det_score=DOUBTFUL_SCORE)
    detector = load_detector(pack)
    _, images = read_archive(data, held_out_people(data))
    result = {}
    for name, pictures in (("photographs", images), ("crowds", list(make_crowds(images)))):
        watched = track(pictures, f"{pack.name}: {name}", transient=True, disable=not sys.stderr.isatty())
        result[name] = compare_detectors(truth, detector, watched).figures()
    return result


def cost(pack: Pack, data: Path) -> Figures:
    """Processor time of one picture of 640 x 480 with six faces, from pixels to embeddings, on one thread."""
    names, images = read_archive(data, held_out_people(data))
    cells = [cv2.resize(image, (214, 240)) for image in images[: 6 * (len(names) // 6) : len(names) // 6]]
    picture = np.vstack([np.hstack(cells[:3]), np.hstack(cells[3:6])])[:, :640]
    detector = load_detector(pack)
    embedder = load_embedder(pack)
    spent = []
    for _ in range(COST_RUNS):
        started = time.process_time()
        faces = find_faces(detector, picture)
        embed_faces(faces, embedder, crops_per_tracklet=1, batch_size=_BATCH_SIZE, every_face=True, check=lambda: None)
        spent.append(time.process_time() - started)
    return {"faces": len(faces.frame), "cpu_ms": round(1000 * statistics.median(spent), 1)}


def measure(pack: Pack, reference: Pack | None, data: Path) -> Figures:
    """Everything there is to say about a pack."""
    verify(pack)
    figures: Figures = {
        "version": pack.manifest.version,
        "files": {file.name: file.sha256 for file in pack.manifest.files},
        "held_out": verification(pack, data, [HELD_OUT_FOLD]),
    }
    if pack.name not in TAUGHT_ON_LFW:
        figures["official"] = verification(pack, data, range(1, HELD_OUT_FOLD + 1))
    if reference is not None and pack.name != reference.name:
        figures["detection"] = detection(pack, reference, data)
    return figures


def _folds(is_mated: np.ndarray) -> np.ndarray:
    """Ten parts with as many mated as non-mated pairs each, in the order of the pairs."""
    part = np.empty(len(is_mated), int)
    for value in (True, False):
        rows = np.flatnonzero(is_mated == value)
        part[rows] = np.arange(len(rows)) * 10 // max(1, len(rows))
    return part


def _print(console: Console, measured: dict[str, Figures]) -> None:
    table = Table(title="LFW through the engine")
    for column in ("pack", "pairs", "accuracy", "FNMR at FMR 1e-2", "1e-3", "recall: photographs", "crowds"):
        table.add_column(column)
    for name, figures in measured.items():
        for kind in ("held_out", "official"):
            if kind in figures:
                part = figures[kind]
                found = figures.get("detection", {}) if kind == "held_out" else {}
                table.add_row(
                    name,
                    f"{part['pairs']} ({kind.replace('_', ' ')})",
                    f"{part['accuracy']:.2%}",
                    f"{part['fnmr']['1e-02']:.2%}",
                    f"{part['fnmr']['1e-03']:.2%}",
                    f"{found['photographs']['recall']:.2%}" if found else "",
                    f"{found['crowds']['recall']:.2%}" if found else "",
                )
    console.print(table)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="make accuracy", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with lfw-train.tar and lfw-train-pairs.csv")
    parser.add_argument("--packs", default="mini,reference", help="names of packs, by commas")
    parser.add_argument("--write", action="store_true", help=f"write the figures to {COMMITTED.name}")
    arguments = parser.parse_args()
    console = Console()
    data = arguments.data or Path(os.environ.get("FACEPIPE_TEST_DATA", "../shared/data"))
    if not (data / "lfw-train.tar").is_file():
        console.print(f"{data} has no lfw-train.tar; name the folder of LFW with --data")
        return 2
    folders = [*Settings().packs_path, data.parent / "models" / REFERENCE]
    reference = find_pack(REFERENCE, folders)
    packs = [find_pack(name, folders) for name in arguments.packs.split(",")]
    measured = {pack.name: measure(pack, reference, data) for pack in packs}
    _print(console, measured)
    for pack in packs:
        spent = cost(pack, data)
        console.print(f"{pack.name}: {spent['cpu_ms']} ms of processor time for a picture with {spent['faces']} faces")
    if arguments.write:
        committed = json.loads(COMMITTED.read_text()) if COMMITTED.is_file() else {}
        COMMITTED.write_text(json.dumps({**committed, **measured}, indent=2) + "\n")
        console.print(f"written to {COMMITTED.relative_to(Path.cwd())}")
    else:
        console.print_json(data=measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
