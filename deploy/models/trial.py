"""Front door: `python -m deploy.models.trial`, with a request on stdin. Tries files that nobody trusts yet.

It runs as a process of its own with little memory, little time and no right to write: a network can ask for any amount
of memory while it is loaded, and what it asks for is only known then. `examine` starts it and reads what it says.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter

from common.errors import ConfigurationError
from common.inference.ort import load_session
from common.packs import AttributeModel, FaceFile, LandmarkModel, ModelFile, PictureFile
from common.ports import ModelSession
from deploy.models.graphs import check_outline, check_shapes, is_batch_open
from deploy.models.outline import Outline, Shape, read_outline
from deploy.models.picture_trial import try_picture_file

#: What a run may take beside a few copies of the weights.
BASE_BYTES: Final = 3 << 29
COPIES: Final = 6
TIMEOUT_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Examined:
    """A file that does what its manifest says.

    Attributes:
        input_name: name of the input; empty where the file is no network.
        input_shape: its axes, None where one is open.
        outputs: name and shape of each output, as the graph declares them; None: it does not.
        is_batch_open: whether pictures share runs; otherwise they are run one by one.
    """

    input_name: str
    input_shape: Shape
    outputs: tuple[tuple[str, Shape | None], ...]
    is_batch_open: bool


def examine(files: Sequence[tuple[Path, ModelFile]], *, run: bool = True) -> list[Examined]:
    """Read the graphs of files and, if asked to, run each of them, in another process.

    Args:
        files: each with what its manifest says of it.
        run: whether to load and run them, which takes the memory of the largest.

    Raises:
        ConfigurationError: one is not what the manifest says, or no network that can be loaded; names the file.
    """
    found = []
    for each in examine_each(files, run=run):
        if isinstance(each, ConfigurationError):
            raise each
        found.append(each)
    return found


def examine_each(
    files: Sequence[tuple[Path, ModelFile]], *, run: bool = True
) -> Iterator[Examined | ConfigurationError]:
    """Like `examine`, with an answer for each file instead of the first error."""
    rest = list(files)
    while rest:
        limit = BASE_BYTES + COPIES * max(path.stat().st_size for path, _ in rest)
        answers, death = _ask(rest, limit, run=run)
        for answer in answers:
            error = answer.get("error")
            yield ConfigurationError(str(error)) if error else TypeAdapter(Examined).validate_python(answer)
        rest = rest[len(answers) :]
        if rest:
            path = rest.pop(0)[0]
            yield ConfigurationError(
                f"{path} is refused: trying it with {limit >> 20} MiB of memory ended the trial ({death})"
            )


def _ask(files: Sequence[tuple[Path, ModelFile]], limit: int, *, run: bool) -> tuple[list[dict[str, Any]], str]:
    """Answers up to the file, if there was one, that ended the process; and how it ended."""
    request = {
        "limit": limit,
        "run": run,
        "files": [(str(path.resolve()), file.model_dump(mode="json")) for path, file in files],
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.models.trial"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=Path(__file__).parents[2],
    )
    with process:
        try:
            out, err = process.communicate(json.dumps(request), timeout=TIMEOUT_S * len(files))
            death = _last_line(err) or f"status {process.returncode}"
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            death = "it took too long"
        except BaseException:
            process.kill()
            raise
    return [json.loads(line) for line in out.splitlines() if line.startswith("{") and line.endswith("}")], death


def main() -> int:
    """See the module; prints one JSON document for each file."""
    request = json.load(sys.stdin)
    limit = int(request["limit"])
    for kind, most in ((resource.RLIMIT_AS, limit), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (most, most))
    for path, entry in request["files"]:
        file: ModelFile = TypeAdapter(ModelFile).validate_python(entry)
        try:
            answer = _try(Path(path), file, run=request["run"])
        except ConfigurationError as error:
            answer = {"error": error.message}
        except MemoryError:
            answer = {"error": f"{path} is refused: it needs more than {limit >> 20} MiB of memory"}
        print(json.dumps(answer), flush=True)
    return 0


def _try(path: Path, file: ModelFile, *, run: bool) -> dict[str, Any]:
    if isinstance(file, PictureFile):
        return try_picture_file(path, file, run=run)
    outline = read_outline(path)
    try:
        check_outline(outline, file)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path} is refused as {file.contract}: {error}") from None
    shares = is_batch_open(outline, file)
    if run:
        shares = _run(path, file, outline, shares=shares)
    (port,) = outline.inputs
    return {
        "input_name": port.name,
        "input_shape": port.shape,
        "outputs": [(output.name, output.shape) for output in outline.outputs],
        "is_batch_open": shares,
    }


def _run(path: Path, file: FaceFile, outline: Outline, *, shares: bool) -> bool:
    """Run one picture and, where they may share a run, two; gives whether they really may."""
    session = load_session(path)
    _run_noise(session, path, file, outline, count=1)
    if not shares:
        return False
    try:
        _run_noise(session, path, file, outline, count=2)
    except ConfigurationError:
        if isinstance(file, AttributeModel | LandmarkModel):
            return False  # exports are known that leave the axis open and mean one picture
        raise
    return True


def _run_noise(session: ModelSession, path: Path, file: FaceFile, outline: Outline, *, count: int) -> None:
    side = file.input.side_px
    pixels = np.random.default_rng(count).integers(0, 256, (count, 3, side, side))
    blob = ((pixels - file.input.mean) / file.input.std).astype(np.float32)
    try:
        outputs = session.run({outline.inputs[0].name: blob})
    except Exception as error:  # ONNX Runtime has no narrower base
        raise ConfigurationError(
            f"{path} is refused: pictures cannot be run ({count} at once): {error}"[:600]
        ) from error
    try:
        check_shapes(outline, file, [output.shape for output in outputs], count=count)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path} is refused as {file.contract}: {error}") from None
    if not all(np.isfinite(output).all() for output in outputs):
        raise ConfigurationError(f"{path} is refused: a picture of noise gives numbers that are not finite")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


if __name__ == "__main__":
    sys.exit(main())
