"""The loop people write: OpenCV's reader, insightface's detector on each sampled frame, face by face, one process.

`python -m benchmarks.pipeline.loop VIDEO DETECTOR.onnx EMBEDDER.onnx REFERENCES.npy SAMPLE_FPS` prints one JSON line.
"""

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from insightface.model_zoo import get_model
from insightface.utils import face_align

#: Any bound will do: the loop only has to compare.
MIN_SIMILARITY = 0.35


def main() -> None:
    """Run the loop once over a video."""
    video, detector_path, embedder_path, references_path, sample_fps = sys.argv[1:6]
    providers = ["CPUExecutionProvider"]
    detector = get_model(detector_path, providers=providers)
    detector.prepare(ctx_id=-1, input_size=(640, 640), det_thresh=0.6)
    embedder = get_model(embedder_path, providers=providers)
    references = np.load(Path(references_path))
    capture = cv2.VideoCapture(video)
    step = max(1, round(capture.get(cv2.CAP_PROP_FPS) / float(sample_fps)))
    frames = faces = matched = index = 0
    started = time.perf_counter()
    while capture.grab():
        if index % step == 0:
            _, picture = capture.retrieve()
            boxes, landmarks = detector.detect(picture, max_num=0)
            for points in landmarks if len(boxes) else ():
                crop = face_align.norm_crop(picture, landmark=points, image_size=112)
                embedding = embedder.get_feat(crop)[0]
                similarity = references @ (embedding / np.linalg.norm(embedding))
                matched += bool(similarity.max(initial=-1) >= MIN_SIMILARITY)
                faces += 1
            frames += 1
        index += 1
    seconds = time.perf_counter() - started
    print(json.dumps({"frames": frames, "faces": faces, "matched": matched, "seconds": round(seconds, 3)}))


if __name__ == "__main__":
    main()
