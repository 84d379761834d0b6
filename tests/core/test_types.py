import dataclasses

import numpy as np
import pytest

from agent.core.inputs import EnrolCommanded
from agent.core.orders import Leave
from agent.core.types import (
    AlignedFace,
    Embedding,
    EnrolmentCode,
    Frame,
    Gallery,
    Subject,
    SubjectId,
    Terms,
)
from agent.errors import DeviceError
from tests.core.people import gallery, somebody


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((480, 640), "uint8"),
        ((480, 640, 4), "uint8"),
        ((1, 480, 640, 3), "uint8"),
        ((480, 640, 3), "float32"),
        ((480, 640, 3), "int8"),
        ((0, 640, 3), "uint8"),
    ],
)
def test_a_frame_that_is_no_rgb_picture_is_the_cameras_fault(
    shape: tuple[int, ...], dtype: str
) -> None:
    with pytest.raises(DeviceError, match=r"camera: a frame of shape .* check the camera's format"):
        Frame(np.zeros(shape, dtype), captured_at=1.0)


def test_a_frame_keeps_its_pixels_out_of_its_repr() -> None:
    frame = Frame(np.full((480, 640, 3), 77, np.uint8), captured_at=1.0)

    assert repr(frame) == "Frame(captured_at=1.0)"


def test_an_aligned_face_keeps_its_pixels_out_of_its_repr() -> None:
    assert repr(AlignedFace(np.full((112, 112, 3), 77, np.uint8))) == "AlignedFace()"


def test_an_embedding_keeps_its_vector_out_of_its_repr() -> None:
    assert repr(Embedding(somebody("ada").face, "m")) == "Embedding(model='m')"


@pytest.mark.parametrize(
    "vector",
    [
        np.full(4, np.nan),
        np.array([np.inf, 0, 0, 0]),
        np.array([np.nan, 1, 0, 0]),
        np.zeros(4),
        np.array([1.002, 0, 0, 0]),
        np.array([0.998, 0, 0, 0]),
        np.array([[1.0, 0, 0, 0]]),
        np.empty(0),
    ],
    ids=["nan", "infinite", "one nan", "zero", "too long", "too short", "a matrix", "empty"],
)
def test_an_embedding_is_one_finite_unit_vector(vector: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one dimension and unit norm"):
        Embedding(vector.astype(np.float32), "m")


@pytest.mark.parametrize(
    ("matrix", "subjects", "households", "references"),
    [
        ((2, 4), 1, 2, 2),
        ((1, 4), 2, 2, 2),
        ((2, 4), 2, 1, 2),
        ((2, 4), 2, 2, 1),
        ((2,), 2, 2, 2),
        ((2, 4, 1), 2, 2, 2),
    ],
)
def test_a_gallery_has_a_row_a_household_and_references_for_each_subject(
    matrix: tuple[int, ...], subjects: int, households: int, references: int
) -> None:
    ids = tuple(SubjectId(str(number)) for number in range(subjects))

    with pytest.raises(ValueError, match=f"a gallery of {subjects} subjects"):
        Gallery(
            matrix=np.zeros(matrix, np.float32),
            subjects=ids,
            households=np.zeros(households, np.intp),
            references=np.ones(references, np.intp),
            model="m",
        )


def test_a_gallery_keeps_its_templates_out_of_its_repr() -> None:
    ada = somebody("ada")

    assert (
        repr(gallery({ada.id: ada.face})) == f"Gallery(subjects=('{ada.id}',), model='synthetic')"
    )


def test_a_code_is_not_in_the_repr_of_what_carries_it() -> None:
    code = EnrolmentCode("123456", issued_at=1.0, authorised_by="root", terms=Terms())

    assert "123456" not in repr(code)
    assert "123456" not in repr(EnrolCommanded(SubjectId("new"), "123456"))


def test_a_frame_cannot_be_changed_once_taken() -> None:
    frame = Frame(np.zeros((2, 2, 3), np.uint8), captured_at=1.0)

    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.captured_at = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(("minor", "guardian"), [(False, None), (False, " "), (True, "Mum")])
def test_minors_have_a_guardian_and_nobody_else_has(minor: bool, guardian: str | None) -> None:
    assert Terms(minor=minor, guardian=guardian).guardian == guardian


@pytest.mark.parametrize(
    ("minor", "guardian"), [(True, None), (True, ""), (True, " \t"), (False, "Mum")]
)
def test_terms_without_the_guardian_that_a_minor_needs_are_refused(
    minor: bool, guardian: str | None
) -> None:
    with pytest.raises(ValueError, match="a minor needs a guardian"):
        Terms(minor=minor, guardian=guardian)


def test_a_leave_code_stays_out_of_every_repr() -> None:
    subject = SubjectId("ada")

    assert "SECRET" not in repr(Subject(subject, leave_code="SECRET"))
    assert "SECRET" not in repr(Leave("r-1", subject, "SECRET"))
