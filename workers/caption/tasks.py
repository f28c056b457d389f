"""Glue of the caption pool: a picture → a sentence. Calls alone come here."""

from functools import partial
from pathlib import Path

import numpy as np

from common.contracts import TASK_CAPTION
from common.errors import ConfigurationError
from common.inference.audit import audit_profile
from common.inference.devices import Device
from common.inference.engine import Engine
from common.inference.ort import load_session
from common.packs import verify
from common.picture_pools import HOW_TO_INSTALL, picture_pack
from common.settings import CaptionSettings
from common.stage.meter import MeteredSession
from common.stage.runner import Attempt, Handler, make_handler
from common.stage.runtime import Runtime
from common.types import Frames
from common.vocabulary import Vocabulary, load_vocabulary
from workers.caption.captioner import Captioner
from workers.caption.networks import Decoder, Encoder


def make_tasks(runtime: Runtime) -> dict[str, Handler]:
    """Task name to handler; loads the captioner."""
    captioner = _load(runtime)

    def caption(attempt: Attempt) -> None:
        with attempt.take("frames") as arrays:
            pixels = Frames.from_arrays(arrays).pixels[0]
            text = captioner.caption(pixels, check=attempt.check)
            height, width = pixels.shape[:2]
        attempt.answer({"caption": text, "width_px": width, "height_px": height})

    return {TASK_CAPTION: make_handler(runtime, caption)}


def _load(runtime: Runtime) -> Captioner:
    settings = runtime.settings.caption
    pack = picture_pack(runtime.settings, "caption")
    files = None if pack is None else pack.manifest.captioner
    if pack is None or files is None:
        raise ConfigurationError(f"No installed pack has a captioner: {HOW_TO_INSTALL}.")
    verify(pack)
    spec, decoder_file, words = files
    vocabulary = load_vocabulary(pack.path(words))
    engine = Engine(
        settings, count=partial(MeteredSession, meter=runtime.meter), cache=runtime.settings.engines_directory
    )
    side = spec.input.side_px
    encoder = engine.load(pack.path(spec), partial(Encoder, spec=spec), row=(3, side, side), batch_size=1).urgent
    decoder = _load_decoder(settings, pack.path(decoder_file), encoder, vocabulary, runtime)
    return Captioner(encoder, decoder, vocabulary, spec)


def _load_decoder(
    settings: CaptionSettings, path: Path, encoder: Encoder, vocabulary: Vocabulary, runtime: Runtime
) -> Decoder:
    """The engine knows networks with one input of one shape; this one has two, of which one grows."""
    device = Device.parse(settings.device)
    session = load_session(
        path,
        device=settings.device,
        intra_op_threads=settings.intra_op_threads,
        memory_limit_bytes=settings.memory_limit_bytes,
        profile=not device.is_cpu,
    )
    try:
        features = np.zeros((1, *(size for size in encoder.feature_shape if isinstance(size, int))), np.float32)
        trial = Decoder(session, path.name, tokens=len(vocabulary))
        trial.log_probs(features, np.full((1, 1), vocabulary.begin_id, np.int64))
        trial.log_probs(features, np.full((2, 2), vocabulary.begin_id, np.int64))
    except ConfigurationError:
        raise
    except Exception as error:  # ONNX Runtime has no narrower base
        raise ConfigurationError(f"{path} cannot be run with the features of its encoder: {error}") from error
    finally:
        events = [] if device.is_cpu else session.end_profile()
    if not device.is_cpu:
        audit_profile(events, device.providers, name=str(path))
    return Decoder(MeteredSession(session, runtime.meter), path.name, tokens=len(vocabulary))
