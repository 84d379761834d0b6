"""A committed model runs if and only if it is the one that its manifest declares."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.errors import ModelError
from agent.vision import models
from agent.vision.models import load_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "models"
MANIFEST = tomllib.loads((COMMITTED / "manifest.toml").read_text())
EMBEDDERS = ("embedder_int8", "embedder_float")
TABLES = (*EMBEDDERS, "detector", "detector_far", "landmarks")
FILE = COMMITTED / MANIFEST["landmarks"]["file"]

pytestmark = pytest.mark.runtime


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the manifest and one model, to be damaged."""
    for file in (COMMITTED / "manifest.toml", FILE):
        shutil.copy(file, tmp_path)
    return tmp_path


def rewrite(folder: Path, old: str, new: str) -> None:
    manifest = folder / "manifest.toml"
    text = manifest.read_text()
    assert text.count(old) == 1
    manifest.write_text(text.replace(old, new))


def name_embedder(folder: Path, named: str) -> None:
    text = (folder / "manifest.toml").read_text()
    other = re.sub(r"^embedder = .*", f"embedder = {named}", text, flags=re.MULTILINE)
    (folder / "manifest.toml").write_text(other)


def refusal(folder: Path, name: str = "landmarks") -> str:
    with pytest.raises(ModelError) as caught:
        load_model(folder, name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def fitting_tensor(name: str = "embedder_int8") -> Float32:
    shape: list[int] = MANIFEST[name]["input"]["shape"]
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def test_the_manifest_declares_every_committed_file_and_its_digest() -> None:
    declared = {MANIFEST[name]["file"]: MANIFEST[name]["sha256"] for name in TABLES}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in COMMITTED.glob("*.tflite")
    }
    assert found == declared


@pytest.mark.parametrize("name", TABLES)
def test_a_committed_model_gives_what_the_manifest_declares(name: str) -> None:
    model = load_model(COMMITTED, name)
    outputs = model(fitting_tensor(name))
    assert (model.name, model.digest) == (name, MANIFEST[name]["sha256"])
    assert [list(output.shape) for output in outputs] == [
        output["shape"] for output in MANIFEST[name]["outputs"]
    ]
    assert all(output.dtype == np.float32 and np.isfinite(output).all() for output in outputs)


def test_outputs_come_in_the_manifest_s_order(copied: Path) -> None:
    manifest = (copied / "manifest.toml").read_text()
    points, presence = load_model(copied, "landmarks")(fitting_tensor("landmarks"))
    tables = re.findall(r"\[\[landmarks\.outputs\]\]\n(?:[a-z]+ = .*\n)+", manifest)
    swapped = manifest.replace(tables[0], "").replace(tables[1], tables[1] + "\n" + tables[0])
    (copied / "manifest.toml").write_text(swapped)
    first, second = load_model(copied, "landmarks")(fitting_tensor("landmarks"))
    np.testing.assert_array_equal(first, presence)
    np.testing.assert_array_equal(second, points)


def test_outputs_are_copies_that_the_next_run_leaves_alone() -> None:
    model = load_model(COMMITTED, "embedder")
    (first,) = model(fitting_tensor())
    kept = first.copy()
    model(np.zeros((1, 112, 112, 3), np.float32))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(("form", "cosine"), [("embedder_int8", 0.985), ("embedder_float", 0.9999)])
def test_an_embedder_agrees_with_its_float_original(form: str, cosine: float) -> None:
    # Noise, so that the repository holds nobody's embedding; on faces int8's mean is 0.995.
    reference = np.load(Path(__file__).parent / "golden_embedding.npz")["reference"]
    (embedding,) = load_model(COMMITTED, form)(fitting_tensor())
    assert embedding[0] @ reference / np.linalg.norm(embedding[0]) >= cosine


@pytest.mark.parametrize("form", EMBEDDERS)
def test_the_embedder_is_the_form_that_the_manifest_names(copied: Path, form: str) -> None:
    name_embedder(copied, f'{{ {models.RUNTIME} = "{form}", other = "landmarks" }}')
    shutil.copy(COMMITTED / MANIFEST[form]["file"], copied)
    model = load_model(copied, "embedder")
    assert (model.name, model.digest) == (form, MANIFEST[form]["sha256"])


def test_each_runtime_has_the_form_that_is_fast_there() -> None:
    forms = {"litert": "embedder_int8", "tflite-runtime": "embedder_float"}
    assert load_model(COMMITTED, "embedder").name == forms[models.RUNTIME]


@pytest.mark.parametrize(
    "named",
    [
        f'{{ {models.RUNTIME} = "embedder_int4" }}',
        f"{{ {models.RUNTIME} = 8 }}",
        '{ other = "embedder_int8" }',
        '"embedder_int8"',
    ],
)
def test_an_embedder_that_the_manifest_does_not_declare_is_said(copied: Path, named: str) -> None:
    name_embedder(copied, named)
    assert "does not declare embedder in full" in refusal(copied, "embedder")


def test_the_same_input_gives_the_same_embedding_every_time() -> None:
    tensor = fitting_tensor()
    one, other = (load_model(COMMITTED, "embedder") for _ in range(2))
    np.testing.assert_array_equal(one(tensor)[0], other(tensor)[0])
    np.testing.assert_array_equal(one(tensor)[0], one(tensor)[0])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "damaged or replaced"),
        (lambda content: content[: len(content) // 2], "damaged or replaced"),
        (lambda content: content + b"\0", "damaged or replaced"),
        (lambda _: b"", "damaged or replaced"),
        (None, "No such file"),
    ],
    ids=["one bit flipped", "truncated", "one byte more", "empty", "missing"],
)
def test_a_file_that_is_not_the_declared_one_never_reaches_the_interpreter(
    copied: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[bytes], bytes] | None,
    said: str,
) -> None:
    file = copied / FILE.name
    if damage:
        file.write_bytes(damage(file.read_bytes()))
    else:
        file.unlink()
    monkeypatch.setattr(models, "_interpreter", lambda *_: pytest.fail("parsed it"))
    message = refusal(copied)
    assert message.startswith(str(file))
    assert said in message


def test_a_model_works_on_from_memory_when_its_file_is_replaced(copied: Path) -> None:
    model = load_model(copied, "landmarks")
    before = model(fitting_tensor("landmarks"))
    (copied / FILE.name).write_bytes(b"replaced")
    after = model(fitting_tensor("landmarks"))
    np.testing.assert_array_equal(before[0], after[0])


def test_a_missing_manifest_is_said(copied: Path) -> None:
    (copied / "manifest.toml").unlink()
    assert re.search(r"manifest\.toml: No such file", refusal(copied))


def test_a_manifest_that_is_no_toml_is_said(copied: Path) -> None:
    (copied / "manifest.toml").write_text("[landmarks\n")
    assert "manifest.toml: is no TOML" in refusal(copied)


def test_a_manifest_that_is_no_text_is_said(copied: Path) -> None:
    (copied / "manifest.toml").write_bytes(b"\xff\xfe")
    assert "manifest.toml: is no TOML" in refusal(copied)


def test_a_model_that_the_manifest_does_not_name_is_said(copied: Path) -> None:
    assert "does not declare antispoof in full" in refusal(copied, "antispoof")


@pytest.mark.parametrize("key", ["file", "sha256", "input", "outputs"])
def test_a_table_without_a_key_is_said(copied: Path, key: str) -> None:
    manifest = (copied / "manifest.toml").read_text()
    text = manifest[manifest.index("[landmarks]") :]
    damaged = re.sub(rf"^(\[*(?:landmarks\.)?){key}\b", r"\g<1>other", text, flags=re.MULTILINE)
    (copied / "manifest.toml").write_text(damaged)
    assert f"does not declare landmarks in full, '{key}'" in refusal(copied)


def test_a_declared_file_that_is_no_model_is_said(copied: Path) -> None:
    content = b"a declared file, and yet no model"
    (copied / FILE.name).write_bytes(content)
    text = (copied / "manifest.toml").read_text()
    digest = hashlib.sha256(content).hexdigest()
    text = text.replace(MANIFEST["landmarks"]["sha256"], digest)
    (copied / "manifest.toml").write_text(text)
    assert f"{FILE.name}: {models.RUNTIME} cannot run it" in refusal(copied)


@pytest.mark.parametrize(
    ("declared", "instead"),
    [
        ("shape = [1, 192, 192, 3]", "shape = [1, 192, 192, 1]"),
        ("shape = [1, 1, 1, 1]", "shape = [1, 1]"),
        ('name = "conv2d_20"', 'name = "points"'),
        ('3]\ndtype = "float32"\ncolour = "RGB"\nscaling = "x / 255"', '3]\ndtype = "uint8"'),
    ],
    ids=["input shape", "output shape", "output name", "input type"],
)
def test_a_graph_with_other_tensors_than_declared_is_refused(
    copied: Path, declared: str, instead: str
) -> None:
    rewrite(copied, declared, instead)
    assert re.search(r"has the tensors .* where manifest\.toml declares", refusal(copied))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensor: tensor[0],
        lambda tensor: tensor[:, :-1],
        lambda tensor: tensor.astype(np.float64),
        lambda tensor: tensor.astype(np.uint8),
    ],
    ids=["no batch", "a row short", "float64", "uint8"],
)
def test_a_tensor_of_another_shape_or_type_is_refused(
    spoil: Callable[[Float32], Float32],
) -> None:
    model = load_model(COMMITTED, "landmarks")
    with pytest.raises(ValueError, match="takes float32 of"):
        model(spoil(fitting_tensor("landmarks")))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_tensor_with_one_number_that_is_not_finite_is_refused(value: float) -> None:
    tensor = fitting_tensor("landmarks")
    tensor[0, 96, 96, 1] = value
    with pytest.raises(ValueError, match="finite"):
        load_model(COMMITTED, "landmarks")(tensor)


@pytest.mark.parametrize("name", ["embedder", "landmarks"])
def test_without_a_runtime_the_mend_is_said(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(models, "RUNTIME", "none")
    assert "pip install ai-edge-litert" in refusal(COMMITTED, name)


def test_a_runtime_that_cannot_be_imported_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.PACKAGES, models.RUNTIME, "no_such_runtime")
    assert "reinstall the package no_such_runtime" in refusal(COMMITTED)


def test_tflite_runtime_with_numpy_2_says_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "RUNTIME", "tflite-runtime")
    monkeypatch.setattr(np, "__version__", "2.4.6")
    assert "numpy 2.4.6: pip install 'numpy<2'" in refusal(COMMITTED)


def test_litert_is_chosen_where_both_are_installed_and_imported_only_at_use(
    tmp_path: Path,
) -> None:
    for package in ("ai_edge_litert", "tflite_runtime"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('imported')")
    answer = subprocess.run(
        [sys.executable, "-c", "from agent.vision.models import RUNTIME; print(RUNTIME)"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.stdout, answer.stderr) == ("litert\n", "")
