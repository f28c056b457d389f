"""Pictures with no, one or many faces, put together from photographs.

Nothing here knows where the faces are in the end: the teacher looks at the finished picture. What it would not
recognise and the student should comes after that, see `weather` and `turn_quarters`.
"""

from typing import Final

import cv2
import numpy as np

from common.types import Float32s, Uint8s
from training.lfw import SIDE_PX, Photographs

#: Left and right change places in a mirror.
MIRRORED_LANDMARKS: Final = (1, 0, 2, 4, 3)


class Mosaics:
    """Makes pictures of some of the photographs.

    Args:
        photographs: all of them.
        rows: those to use.
        rng: source of chance.
    """

    def __init__(self, photographs: Photographs, rows: np.ndarray, rng: np.random.Generator) -> None:
        # Reducing a whole photograph for every little cell would take longer than all the rest.
        self._sizes = [photographs.images]
        for side in (SIDE_PX // 2, SIDE_PX // 4):
            size = (side, side)
            self._sizes.append(
                np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in self._sizes[-1]])
            )
        self._rows = rows
        self._rng = rng
        self._boxes = photographs.boxes
        self._first = np.searchsorted(photographs.photograph, np.arange(len(photographs.names) + 1))
        # Photographs of several people; where there is none, all will do.
        has_several = np.diff(self._first)[rows] > 1
        self._shared = rows[has_several] if has_several.any() else rows

    def make(self, side_px: int) -> Uint8s:
        """One picture, (side, side, 3) uint8 RGB."""
        chance = self._rng.random()
        if chance < 0.6:
            picture = self._single(side_px)
        elif chance < 0.95:
            picture = self.grid(side_px)
        else:
            picture = _texture(side_px, self._rng)
            for _ in range(int(self._rng.integers(0, 6))):
                self._paste_somewhere(picture, 12, side_px)
        if self._rng.random() < 0.12:
            # As frames that are not square come to the detector.
            edge = int(self._rng.uniform(0.5, 0.95) * side_px)
            if self._rng.random() < 0.7:
                picture[edge:] = 0
            else:
                picture[:, edge:] = 0
        return picture

    def _single(self, side_px: int) -> Uint8s:
        """One photograph over the whole picture, or what lies behind a window in it."""
        chance = self._rng.random()
        if chance < 0.45:
            # Most misses are second faces, which the edge often cuts.
            rows = self._shared if self._rng.random() < 0.6 else self._rows
            return _resize(self._image(self._pick(rows)), side_px, side_px, self._rng)
        if chance < 0.5:
            return _resize(self._nothing(), side_px, side_px, self._rng)
        return self._view(self._pick(), side_px, side_px, share=(0.3, 1.0))

    def grid(self, side_px: int) -> Uint8s:
        """Photographs side by side, sometimes large ones over small ones."""
        # Many small cells take long to make and teach little more than some.
        fineness = self._rng.random() ** 1.5
        smallest = int(np.exp(np.log(side_px / 2) * (1 - fineness) + np.log(26) * fineness))
        columns = max(2, side_px // smallest)
        rows = max(2, round(columns * self._rng.uniform(0.7, 1.4)))
        left, top = (_edges(side_px, count, self._rng) for count in (columns, rows))
        picture = _texture(side_px, self._rng)
        for row in range(rows):
            for column in range(columns):
                width, height = left[column + 1] - left[column], top[row + 1] - top[row]
                if width < 10 or height < 10 or self._rng.random() < 0.1:
                    continue
                place = picture[top[row] : top[row + 1], left[column] : left[column + 1]]
                place[:] = self._cell(width, height)
        for _ in range(int(self._rng.integers(0, 4)) if self._rng.random() < 0.5 else 0):
            self._paste_somewhere(picture, side_px // 8, side_px * 3 // 4)
        return picture

    def _cell(self, width: int, height: int) -> Uint8s:
        if self._rng.random() < 0.1:
            return _resize(self._nothing(), width, height, self._rng)
        return self._view(self._pick(), width, height, share=(0.45, 1.0))

    def _paste_somewhere(self, picture: Uint8s, smallest: int, largest: int) -> None:
        side_px = len(picture)
        width = int(np.exp(self._rng.uniform(np.log(smallest), np.log(largest))))
        height = min(side_px, max(10, int(width * self._rng.uniform(0.7, 1.4))))
        # Partly outside now and then.
        x, y = (int(self._rng.uniform(-0.3 * length, side_px - 0.7 * length)) for length in (width, height))
        view = self._cell(width, height)
        x_from, y_from = max(0, x), max(0, y)
        x_to, y_to = min(side_px, x + width), min(side_px, y + height)
        picture[y_from:y_to, x_from:x_to] = view[y_from - y : y_to - y, x_from - x : x_to - x]

    def _view(self, row: int, width: int, height: int, *, share: tuple[float, float]) -> Uint8s:
        """What lies behind a window of a share of the photograph's side, mirrored or turned a little by chance."""
        longer = SIDE_PX * self._rng.uniform(*share)
        scale = longer / max(width, height)
        extent = np.maximum(np.array([width, height]) * scale, 4)
        middle = np.array(self._middle(row)) + self._rng.normal(0, 0.22, 2) * extent
        if self._rng.random() < 0.2:
            # The edge cuts the face.
            middle[self._rng.integers(2)] += self._rng.choice([-0.45, 0.45]) * extent.min()
        middle = np.clip(middle, np.minimum(extent, SIDE_PX) / 2, np.maximum(SIDE_PX - extent / 2, extent / 2))
        level = int(np.clip(np.log2(max(scale, 1)), 0, len(self._sizes) - 1))
        image = np.asarray(self._sizes[level][row])
        if self._rng.random() < 0.06:
            image = self._without_faces(row, image)
        share_x, share_y = image.shape[1] / SIDE_PX, image.shape[0] / SIDE_PX
        angle = np.clip(self._rng.normal(0, 14), -32, 32) if self._rng.random() < 0.3 else 0.0
        turn = cv2.getRotationMatrix2D((0.0, 0.0), float(angle), 1.0)[:, :2] * scale
        from_view = np.zeros((2, 3))
        from_view[:, :2] = turn
        from_view[:, 2] = middle - turn @ (np.array([width, height]) / 2)
        from_view *= np.array([[share_x], [share_y]])
        view = cv2.warpAffine(
            image,
            from_view,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return _light(view, self._rng) if self._rng.random() < 0.5 else np.asarray(view, np.uint8)

    def _middle(self, row: int) -> tuple[float, float]:
        """Of one of the faces, or anywhere."""
        boxes = self._boxes[self._first[row] : self._first[row + 1]]
        if not len(boxes) or self._rng.random() < 0.2:
            x, y = self._rng.uniform(0, SIDE_PX, 2)
        else:
            box = boxes[self._rng.integers(len(boxes))]
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return float(x), float(y)

    def _nothing(self) -> Uint8s:
        """Hands, clothes, letters, walls: a piece of a photograph without a face, or a texture."""
        for _ in range(8):
            row = self._pick()
            width, height = (int(side) for side in self._rng.integers(28, 110, 2))
            x, y = int(self._rng.integers(0, SIDE_PX - width)), int(self._rng.integers(0, SIDE_PX - height))
            boxes = self._boxes[self._first[row] : self._first[row + 1]]
            is_apart = (boxes[:, 0] > x + width) | (boxes[:, 2] < x) | (boxes[:, 1] > y + height) | (boxes[:, 3] < y)
            if is_apart.all():
                return self._image(row)[y : y + height, x : x + width]
        return _texture(64, self._rng)

    def _without_faces(self, row: int, image: Uint8s) -> Uint8s:
        """The people stay, their faces go; the photograph may have been reduced."""
        image = image.copy()
        side = len(image)
        for box in self._boxes[self._first[row] : self._first[row + 1]] * (side / SIDE_PX):
            margin = 0.18 * (box[2:] - box[:2])
            left, top = np.clip(box[:2] - margin, 0, side).astype(int)
            right, bottom = np.clip(box[2:] + margin, 0, side).astype(int)
            if right - left < 4 or bottom - top < 4:
                continue
            place = image[top:bottom, left:right]
            if self._rng.random() < 0.6:
                place[:] = cv2.resize(self._nothing(), (right - left, bottom - top))
            else:
                place[:] = place.reshape(-1, 3).mean(0)
        return image

    def _pick(self, rows: np.ndarray | None = None) -> int:
        rows = self._rows if rows is None else rows
        return int(rows[self._rng.integers(len(rows))])

    def _image(self, row: int) -> Uint8s:
        return np.asarray(self._sizes[0][row])


def mirror(picture: Uint8s, boxes: Float32s, landmarks: Float32s) -> tuple[Uint8s, Float32s, Float32s]:
    """Left and right exchanged, in the names of the landmarks too."""
    last = picture.shape[1] - 1
    boxes = np.stack([last - boxes[:, 2], boxes[:, 1], last - boxes[:, 0], boxes[:, 3]], axis=1)
    landmarks = landmarks[:, MIRRORED_LANDMARKS] * np.float32([-1, 1]) + np.float32([last, 0])
    return np.ascontiguousarray(picture[:, ::-1]), boxes, landmarks


def turn_quarters(
    picture: Uint8s, boxes: Float32s, landmarks: Float32s, quarters: int
) -> tuple[Uint8s, Float32s, Float32s]:
    """A square picture turned by quarters, anticlockwise, with its faces."""
    last = picture.shape[0] - 1
    for _ in range(quarters % 4):
        picture = np.rot90(picture)
        boxes = np.stack([boxes[:, 1], last - boxes[:, 2], boxes[:, 3], last - boxes[:, 0]], axis=1)
        landmarks = np.stack([landmarks[..., 1], last - landmarks[..., 0]], axis=-1)
    return np.ascontiguousarray(picture), boxes, landmarks


def weather(picture: Uint8s, rng: np.random.Generator, *, strength: float) -> Uint8s:
    """Light, blur, noise, lost colour, JPEG; at strength 1 as a good camera has them, at 2 as a bad one."""
    chance = rng.random(5)
    if chance[0] < 0.5:
        picture = _light(picture, rng, strength=strength)
    if chance[1] < 0.15 * strength:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 0.4 + 0.7 * strength))
    if chance[2] < 0.12 * strength:
        noise = rng.integers(-128, 128, picture.shape, dtype=np.int8) * np.float32(rng.uniform(0.02, 0.06 * strength))
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if chance[3] < 0.05:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if chance[4] < 0.2:
        quality = int(rng.integers(90 - 35 * strength, 95))
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return np.asarray(picture, np.uint8)


def _light(picture: Uint8s, rng: np.random.Generator, *, strength: float = 1.0) -> Uint8s:
    level = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma = np.exp(rng.normal(0, 0.25 * strength))
    gain = np.exp(rng.normal(-0.05 * strength, 0.2 * strength) + rng.normal(0, 0.06, 3))
    table = np.clip((level**gamma * gain + rng.normal(0, 0.05)) * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, table.reshape(1, 256, 3)), np.uint8)


def _texture(side_px: int, rng: np.random.Generator) -> Uint8s:
    chance = rng.random()
    if chance < 0.35:
        return np.zeros((side_px, side_px, 3), np.uint8)
    if chance < 0.5:
        return np.full((side_px, side_px, 3), rng.integers(0, 256, 3), np.uint8)
    if chance < 0.8:
        cells = rng.integers(0, 256, (*rng.integers(2, 40, 2), 3)).astype(np.uint8)
        method = int(rng.choice([cv2.INTER_CUBIC, cv2.INTER_NEAREST, cv2.INTER_LINEAR]))
        return np.asarray(cv2.resize(cells, (side_px, side_px), interpolation=method), np.uint8)
    grain = rng.integers(0, 256, (side_px, side_px, 3)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 4)), np.uint8)


def _edges(side_px: int, count: int, rng: np.random.Generator) -> list[int]:
    widths = np.exp(rng.normal(0, 0.12, count))
    return [0, *np.rint(np.cumsum(widths) / widths.sum() * side_px).astype(int).tolist()]


def _resize(image: Uint8s, width: int, height: int, rng: np.random.Generator) -> Uint8s:
    """Smoothly, or, as the detector's own input is made, without care for what lies between the pixels."""
    is_smaller = width < image.shape[1]
    method = cv2.INTER_AREA if is_smaller and rng.random() < 0.75 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
