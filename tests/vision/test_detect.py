import numpy as np
import pytest

from agent.core.types import Float32
from agent.vision.detect import Detection, Detector, Landmarker, _merge
from tests.vision.scenes import PEOPLE, hall, photograph, portray

# What the landmark model finds, checked by eye: eyes, nose, mouth corners, image-left first.
FIVE = {
    "astronaut": [(133, 102), (176, 104), (152, 130), (130, 140), (177, 142)],
    "biden": [(246, 179), (309, 193), (281, 228), (238, 253), (296, 264)],
    "obama": [(220, 137), (287, 136), (255, 176), (214, 202), (293, 202)],
    "obama2": [(134, 201), (202, 208), (152, 244), (129, 276), (189, 283)],
    "obama3": [(237, 227), (307, 234), (280, 263), (237, 301), (301, 306)],
}
EYES = {name: np.array(points[:2], np.float32) for name, points in FIVE.items()}


def found_at(faces: list[Detection], at: complex, apart: float) -> bool:
    return any(abs(complex(*face.eyes.mean(0)) - at) < apart / 2 for face in faces)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("apart", [24, 31, 40, 80, 200])
def test_a_face_is_found_from_near_to_beyond_two_metres(
    name: str, apart: float, far_detector: Detector, random: np.random.Generator
) -> None:
    frame = hall(random)
    portray(frame, name, EYES[name], 640 + 330j, apart)
    assert found_at(far_detector.find(frame), 640 + 330j, apart)


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("apart", [80, 130, 200])
def test_the_quick_detector_finds_who_stands_within_a_metre(
    name: str, apart: float, near_detector: Detector, random: np.random.Generator
) -> None:
    frame = hall(random)
    portray(frame, name, EYES[name], 640 + 330j, apart)
    assert found_at(near_detector.find(frame), 640 + 330j, apart)


@pytest.mark.parametrize("at", [90 + 90j, 1190 + 90j, 90 + 620j, 1190 + 620j, 640 + 80j])
def test_a_face_at_the_edge_of_the_view_is_found(
    at: complex, far_detector: Detector, random: np.random.Generator
) -> None:
    frame = hall(random)
    portray(frame, "biden", EYES["biden"], at, apart=31)
    assert found_at(far_detector.find(frame), at, apart=31)


@pytest.mark.parametrize("shape", [(1280, 720), (479, 641), (240, 320), (960, 1280), (333, 1001)])
def test_the_frame_may_have_any_size_and_be_upright(
    shape: tuple[int, int], far_detector: Detector, random: np.random.Generator
) -> None:
    height, width = shape
    frame = hall(random, height, width)
    at = complex(width // 2, height // 2)
    portray(frame, "obama", EYES["obama"], at, apart=60)
    faces = far_detector.find(frame)
    assert found_at(faces, at, apart=30)
    x, y, w, h = faces[0].box
    assert x < at.real < x + w
    assert y < at.imag < y + h
    assert 0.75 < w / h < 1.33


@pytest.mark.parametrize("roll", [-20, 20])
@pytest.mark.parametrize("name", PEOPLE)
def test_a_head_held_askew_is_found_and_its_eyes_are_placed(
    name: str,
    roll: float,
    far_detector: Detector,
    landmarks: Landmarker,
    random: np.random.Generator,
) -> None:
    frame = hall(random)
    portray(frame, name, EYES[name], 640 + 330j, apart=70, roll=roll)
    [face, *_] = far_detector.find(frame)
    mesh = landmarks.locate(frame, face)
    assert mesh is not None
    across = complex(*(mesh.five[1] - mesh.five[0]))
    upright = complex(*(EYES[name][1] - EYES[name][0]))
    assert np.degrees(np.angle(across / upright)) == pytest.approx(-roll, abs=3)
    assert abs(across) == pytest.approx(70, abs=4)


def test_the_larger_of_two_faces_comes_first(
    far_detector: Detector, random: np.random.Generator
) -> None:
    frame = hall(random)
    portray(frame, "biden", EYES["biden"], 300 + 330j, apart=45)
    portray(frame, "obama", EYES["obama"], 900 + 330j, apart=80)
    first, second = far_detector.find(frame)
    assert found_at([first], 900 + 330j, apart=80)
    assert found_at([second], 300 + 330j, apart=45)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_nobody_is_found_in_a_blank_frame(
    shade: int, near_detector: Detector, far_detector: Detector
) -> None:
    frame = np.full((720, 1280, 3), shade, np.uint8)
    assert near_detector.find(frame) == []
    assert far_detector.find(frame) == []


def test_nobody_is_found_in_noise(
    near_detector: Detector, far_detector: Detector, random: np.random.Generator
) -> None:
    frame = random.integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    assert near_detector.find(frame) == []
    assert far_detector.find(frame) == []


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 500), (500, 5), (16, 16)])
def test_a_tiny_frame_holds_nobody_and_does_no_harm(
    shape: tuple[int, int], near_detector: Detector, far_detector: Detector
) -> None:
    frame = np.full((*shape, 3), 90, np.uint8)
    assert near_detector.find(frame) == []
    assert far_detector.find(frame) == []


@pytest.mark.parametrize("name", FIVE)
def test_the_five_points_lie_on_eyes_nose_and_mouth(
    name: str, near_detector: Detector, landmarks: Landmarker
) -> None:
    pixels = photograph(name)
    [face, *_] = near_detector.find(pixels)
    mesh = landmarks.locate(pixels, face)
    assert mesh is not None
    np.testing.assert_allclose(mesh.five, FIVE[name], atol=3)


def test_what_is_no_face_has_no_mesh(landmarks: Landmarker, random: np.random.Generator) -> None:
    box: Float32 = np.array([300, 200, 250, 250], np.float32)
    eyes: Float32 = np.array([[370, 300], [480, 300]], np.float32)
    assert landmarks.locate(hall(random), Detection(box, eyes, 0.9)) is None


def test_the_mesh_does_not_ask_where_in_the_frame_the_face_is(
    far_detector: Detector, landmarks: Landmarker, random: np.random.Generator
) -> None:
    background = hall(random)
    meshes = []
    for at in (320 + 330j, 960 + 330j):
        frame = background.copy()
        portray(frame, "obama", EYES["obama"], at, apart=80)
        [face, *_] = far_detector.find(frame)
        mesh = landmarks.locate(frame, face)
        assert mesh is not None
        meshes.append(mesh.points[:, :2] - (at.real, at.imag))
    assert np.abs(meshes[0] - meshes[1]).mean() < 2


def two_boxes(apart: float) -> list[Detection]:
    """Merge two boxes of 100x100 px that lie so far from each other, with scores 0.9 and 0.6."""
    centres: Float32 = np.array([[100, 100], [100 + apart, 100]], np.float32)
    sizes: Float32 = np.full((2, 2), 100, np.float32)
    eyes: Float32 = np.zeros((2, 2, 2), np.float32)
    return _merge(centres, sizes, eyes, np.array([0.9, 0.6], np.float32))


def test_boxes_of_one_face_become_one_nearer_to_the_better() -> None:
    # They share 60 of 140 columns.
    [face] = two_boxes(apart=40)
    np.testing.assert_allclose(face.box, [66, 50, 100, 100], atol=0.01)
    assert face.score == pytest.approx(0.9)


def test_boxes_side_by_side_stay_two() -> None:
    # They share 40 of 160 columns.
    assert len(two_boxes(apart=60)) == 2
