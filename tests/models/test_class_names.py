"""The names of the classes inside a model file: found again, invisible to plain Keras, and checked."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.models.class_names import add_classes, classes_in, has_several_labels, save_with_classes
from keras_cnn.models.model_files import load_model

NAMES = ("Größe 1", "dog, cat", '"owl"', "猫")

PLAIN_KERAS = """
import json, sys, zipfile
sys.modules["keras_cnn"] = None  # cannot be imported
import keras, numpy
model = keras.saving.load_model(sys.argv[1], compile=False)
names = json.loads(zipfile.ZipFile(sys.argv[1]).read("classes.json"))
print(json.dumps([names, model(numpy.ones((1, 2, 2, 1))).numpy().tolist()]))
"""


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(4)], name="small")


def test_plain_keras_loads_the_file_and_zipfile_reads_the_names(model, tmp_path):
    save_with_classes(model, file := tmp_path / "model.keras", NAMES)
    done = subprocess.run([sys.executable, "-c", PLAIN_KERAS, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names, logits = json.loads(done.stdout.splitlines()[-1])
    assert tuple(names) == NAMES
    np.testing.assert_allclose(logits, model(np.ones((1, 2, 2, 1))), rtol=1e-6)
    assert classes_in(file) == NAMES
    np.testing.assert_array_equal(load_model(file).get_weights()[0], model.get_weights()[0])


def test_the_same_names_add_the_same_bytes(model, tmp_path):
    model.save(tmp_path / "a.keras")
    (tmp_path / "b.keras").write_bytes((tmp_path / "a.keras").read_bytes())
    for name in ("a.keras", "b.keras"):
        add_classes(tmp_path / name, NAMES)
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        assert archive.getinfo("classes.json").date_time == (1980, 1, 1, 0, 0, 0)
        assert len(archive.namelist()) == len(set(archive.namelist()))


def test_a_file_of_plain_keras_has_no_names(model, tmp_path):
    model.save(tmp_path / "model.keras")
    assert classes_in(tmp_path / "model.keras") == ()
    (tmp_path / "cut.keras").write_bytes(b"PK")
    assert classes_in(tmp_path / "cut.keras") == ()  # load_model says what is wrong with it


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2]", "expected a list of class names"),
        ("[]", "expected a list of class names"),
        ('{"0": "cat"}', "expected a list of class names"),
        ("[" * 100_000, "not JSON"),
        ("\udcff".encode("utf-8", "surrogateescape"), "not JSON"),
        (b" " * (2**24 + 1), "16,777,217 bytes, expected at most 16,777,216"),
    ],
)
def test_a_strangers_member_is_one_line(model, tmp_path, content, said):
    model.save(file := tmp_path / "model.keras")
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("classes.json", content)
    with pytest.raises(InputError, match=said) as caught:
        classes_in(file)
    assert str(caught.value).startswith(f"{file}: classes.json: ")
    assert "\n" not in str(caught.value)


def test_a_damaged_member_is_one_line(model, tmp_path):
    save_with_classes(model, file := tmp_path / "model.keras", NAMES)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"dog, cat", b"dog, cow", 1))
    with pytest.raises(InputError, match=r"classes\.json cannot be read: Bad CRC-32"):
        classes_in(file)


def test_a_file_says_whether_an_image_may_have_several_labels(model, tmp_path):
    for several in (False, True):
        save_with_classes(model, file := tmp_path / f"{several}.keras", NAMES, several_labels=several)
        assert has_several_labels(file) == several
    with zipfile.ZipFile(file) as archive:
        assert archive.read("activation.json") == b'"sigmoid"'
        assert {archive.getinfo(name).external_attr for name in ("classes.json", "activation.json")} == {0o644 << 16}
    model.save(file := tmp_path / "other.keras")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("activation.json", "x" * 50)
    with pytest.raises(InputError, match=rf"activation\.json: found b'{'x' * 40}', expected \"sigmoid\"$"):
        has_several_labels(file)
