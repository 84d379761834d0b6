"""Give BlazeFace an input in the shape of a camera's frame in place of a square.

Letterboxed into a square, a frame of 16:9 leaves 7/16 of the detector's work to black bars. The
network is convolutional up to the reshapes before its outputs, so other tensor shapes are all that
has to change: the weights stay as they were trained. A .tflite file stores a shape as a counted
vector of int32, which is overwritten in place.
"""

from struct import pack

NEAR = (128, 160, 96, (8, 16))
FAR = (256, 224, 128, (16, 32))
"""Side of the square input as trained, width and height to have, strides of the two layers."""
ANCHORS_PER_CELL = (2, 6)
OUTPUT_SIZES = (1, 16)
"""Numbers per anchor of the two outputs: a logit, and a box with its key points."""


def wide_detector(content: bytes, change: tuple[int, int, int, tuple[int, int]]) -> bytes:
    """Give the bytes of a detector with the input of NEAR or FAR.

    Raises SystemExit where a shape does not occur exactly once: another model, or another file.
    """
    trained, width, height, strides = change
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((1, trained, trained, 3), (1, height, width, 3))
    ]
    before, after = [], []
    for stride, per_cell in zip(strides, ANCHORS_PER_CELL, strict=True):
        before.append((trained // stride) ** 2 * per_cell)
        after.append((width // stride) * (height // stride) * per_cell)
    for old, new in zip([*before, sum(before)], [*after, sum(after)], strict=True):
        shapes += [((1, old, size), (1, new, size)) for size in OUTPUT_SIZES]
    for old_shape, new_shape in shapes:
        found = content.count(_vector(old_shape))
        if found != 1:
            raise SystemExit(f"detector: shape {old_shape} occurs {found} times, not once")
        content = content.replace(_vector(old_shape), _vector(new_shape))
    return content


def _vector(shape: tuple[int, ...]) -> bytes:
    return pack(f"<{len(shape) + 1}i", len(shape), *shape)
