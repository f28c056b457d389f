from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: it is only needed for training")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: it is only needed for training")

from torch import nn  # noqa: E402

from training.attributes import AgeGender  # noqa: E402
from training.course import Course  # noqa: E402
from training.detector import _OLDER_NAMES, SmallDetector, take_over  # noqa: E402
from training.export import PRODUCTS, export, fold  # noqa: E402
from training.targets import Targets, assign, places_of  # noqa: E402
from training.train_detector import losses, overlap  # noqa: E402


def stirred(network: nn.Module) -> nn.Module:
    """A network whose layers all do something, normalisation included."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean):
                value.data.copy_(torch.rand(value.shape, generator=generator) * 0.4 + 0.2)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return network.eval()


def samples(*shape: int) -> "torch.Tensor":
    return torch.rand(shape, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_the_detector_gives_scrfds_outputs() -> None:
    with torch.no_grad():
        outputs = SmallDetector().eval()(samples(2, 3, 64, 96))
    places = [2 * (64 // stride) * (96 // stride) for stride in (8, 16, 32)]
    assert [tuple(output.shape) for output in outputs] == [
        (2, count, numbers) for numbers in (1, 4, 10) for count in places
    ]


def test_a_network_takes_over_the_answers_of_an_exported_one(tmp_path: Path) -> None:
    torch.manual_seed(1)
    former = fold(stirred(SmallDetector(refinements=(0, 0, 0, 0))))
    kept = {}
    for name, value in former.state_dict().items():
        if name.startswith("landmark_towers."):
            value.zero_()
        prefix = next((prefix for prefix in _OLDER_NAMES if name.startswith(prefix)), None)
        if prefix:
            kept[_OLDER_NAMES[prefix] + name.removeprefix(prefix)] = value
    graph = onnx.helper.make_graph(
        [], "weights", [], [], [onnx.numpy_helper.from_array(value.numpy(), name) for name, value in kept.items()]
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "older.onnx")

    network, images = SmallDetector(), samples(2, 3, 64, 64)
    take_over(network, tmp_path / "older.onnx", images)
    with torch.no_grad():
        for given, wanted in zip(network.eval()(images), former(images), strict=True):
            assert torch.allclose(given, wanted, atol=1e-3)


def test_a_network_that_lacks_a_layer_is_refused(tmp_path: Path) -> None:
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])), tmp_path / "older.onnx")
    with pytest.raises(KeyError, match="s4"):
        take_over(SmallDetector(), tmp_path / "older.onnx", samples(1, 3, 64, 64))


def test_boxes_are_compared_as_intersection_over_union() -> None:
    first = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 1]])
    second = torch.tensor([[1.0, 0, 3, 2], [0, 0, 1, 1], [3, 0, 4, 1]])
    ratio, generalised = overlap(first, second)
    assert ratio.tolist() == pytest.approx([1 / 3, 1, 0], abs=1e-4)
    assert generalised.tolist() == pytest.approx([1 / 3, 1, -0.5], abs=1e-4)


def test_the_right_answer_costs_nothing_but_its_score() -> None:
    box = np.array([[96, 100, 160, 164]], np.float32)
    landmarks = np.array([[[110, 120], [140, 120], [125, 135], [112, 150], [138, 150]]], np.float32)
    targets = assign(box, landmarks, np.array([0.9], np.float32), side_px=256)
    answers = right_answers(targets)
    score, of_box, of_landmarks, figures = losses(answers, [targets], 256)
    assert figures["overlap"] == pytest.approx(1, abs=1e-4)
    assert (of_box.item(), of_landmarks.item()) == pytest.approx((0, 0), abs=1e-4)
    wrong = tuple(part * 1.3 for part in answers)
    assert all(
        worse > better for worse, better in zip(losses(wrong, [targets], 256)[1:3], (of_box, of_landmarks), strict=True)
    )
    assert score.item() < 1e-3


def right_answers(targets: Targets) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    places = places_of(256)
    scores = torch.full((1, len(places.x)), -12.0)
    distances, offsets = torch.ones(1, len(places.x), 4), torch.zeros(1, len(places.x), 10)
    for place, box, points in zip(targets.places, targets.boxes, targets.landmarks, strict=True):
        middle = np.array([places.x[place], places.y[place]])
        stride = places.stride_px[place]
        scores[0, place] = 12
        distances[0, place] = torch.from_numpy(np.concatenate([middle - box[:2], box[2:] - middle]) / stride)
        offsets[0, place] = torch.from_numpy((points - np.tile(middle, 5)) / stride)
    return scores, distances, offsets


def course(folder: Path) -> Course:
    torch.manual_seed(0)
    return Course(
        nn.Linear(3, 1), nn.Linear(3, 1), folder / "course.pt", learning_rate=0.1, weight_decay=0.0, averaged_steps=10
    )


def walk(training: Course, steps: int) -> list[float]:
    images = samples(8, 3)
    for _ in range(steps):
        training.elapsed_s += 1
        training.learn((training.network(images) - 1).square().mean(), training.elapsed_s / 20)
    return [value for tensor in training.averaged.state_dict().values() for value in tensor.flatten().tolist()]


def test_a_training_that_was_killed_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    whole = course(tmp_path / "a")
    assert not whole.resume()
    wanted = walk(whole, 12)

    (tmp_path / "b").mkdir()
    first = course(tmp_path / "b")
    first.resume()
    walk(first, 7)
    first.save()
    walk(first, 2)
    second = course(tmp_path / "b")
    assert second.resume()
    assert (second.step, second.elapsed_s) == (7, 7)
    assert walk(second, 5) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("name", ["attributes", "detector"])
def test_what_is_exported_answers_as_the_network_does(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    product = PRODUCTS[name]
    torch.save({"averaged": stirred(product.make()).state_dict()}, tmp_path / product.checkpoint)
    figures = export(product, tmp_path, tmp_path)
    assert figures["bytes"] < 1_000_000
    assert figures["export"] < 1e-4
    session_inputs = onnx.load(tmp_path / product.name).graph.input
    assert [port.name for port in session_inputs] == [product.inputs[0]]


def test_the_attribute_network_normalises_its_input_itself(tmp_path: Path) -> None:
    torch.manual_seed(2)
    torch.save({"averaged": stirred(AgeGender()).state_dict()}, tmp_path / "attributes.pt")
    export(PRODUCTS["attributes"], tmp_path, tmp_path)
    names = [node.name for node in onnx.load(tmp_path / "attr_mini.onnx").graph.node[:8]]
    assert any(name.startswith("Sub") for name in names)
    assert any(name.startswith("Mul") for name in names)
