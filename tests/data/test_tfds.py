import builtins
import functools

import numpy as np
import pytest

from keras_cnn.data import load, sources, tfds
from keras_cnn.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 8, 6, 3), np.uint8)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A tiny data set, 40 + 20 images of three classes, prepared with TensorFlow Datasets itself."""
    library = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("tfds")

    class TinyPhotos(library.core.GeneratorBasedBuilder):
        VERSION = library.core.Version("1.0.0")

        def _info(self):
            features = library.features.FeaturesDict(
                {
                    "image": library.features.Image(shape=(None, None, 3)),
                    "label": library.features.ClassLabel(names=["x", "y", "z"]),
                }
            )
            return self.dataset_info_from_configs(features=features, supervised_keys=("image", "label"))

        def _split_generators(self, _):
            return {"train": self._generate_examples(0, 40), "test": self._generate_examples(40, 60)}

        def _generate_examples(self, start, stop):
            for i in range(start, stop):
                yield i, {"image": PIXELS[i], "label": i % 3}

    TinyPhotos.pkg_dir_path = folder
    TinyPhotos(data_dir=folder).download_and_prepare()
    return library, folder


@pytest.fixture
def tiny(prepared, monkeypatch):
    library, folder = prepared
    monkeypatch.setattr(library, "builder", functools.partial(library.builder, data_dir=folder))


@pytest.fixture(scope="module")
def unlabelled(prepared, tmp_path_factory):
    """A folder with a data set whose test split has no labels, as TFDS has it of some competitions."""
    library, folder = prepared[0], tmp_path_factory.mktemp("unlabelled")

    class HiddenLabels(library.core.GeneratorBasedBuilder):
        VERSION = library.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": library.features.Image(shape=(8, 6, 3)),
                "label": library.features.ClassLabel(num_classes=3),
            }
            return self.dataset_info_from_configs(
                features=library.features.FeaturesDict(features), supervised_keys=("image", "label")
            )

        def _split_generators(self, _):
            return {"train": self._generate_examples(range(30)), "test": self._generate_examples(range(30, 40))}

        def _generate_examples(self, chosen):
            for i in chosen:
                yield i, {"image": PIXELS[i], "label": i % 3 if i < 30 else -1}

    HiddenLabels.pkg_dir_path = folder
    HiddenLabels(data_dir=folder).download_and_prepare()
    return folder


def test_a_split_without_labels_is_refused_while_it_is_read(prepared, unlabelled, tmp_path, monkeypatch):
    library = prepared[0]
    monkeypatch.setattr(library, "builder", functools.partial(library.builder, data_dir=unlabelled))
    for limit in (tfds.IN_MEMORY, 1000):
        monkeypatch.setattr(tfds, "IN_MEMORY", limit)
        with pytest.raises(InputError, match=r"image 0 of the split 'test' has the label -1; expected 0 to 2") as error:
            load("tfds:hidden_labels", cache_dir=tmp_path)
        assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("*test*"))


def check(data):
    assert data.classes == ("x", "y", "z")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [34, 6, 20]
    originals = {image.tobytes(): i for i, image in enumerate(PIXELS)}
    for split in (data.train, data.validation, data.test):
        assert [originals[image.tobytes()] % 3 for image in np.asarray(split.pixels)] == split.labels.tolist()


@pytest.mark.usefixtures("tiny")
def test_in_memory(tmp_path):
    data = load("tfds:tiny_photos", image_size=(8, 6), validation=6, cache_dir=tmp_path)
    check(data)
    assert data.image_shape == (8, 6, 3)
    assert list(tmp_path.iterdir()) == []
    assert load("tfds:tiny_photos", cache_dir=tmp_path).image_shape == (128, 128, 3)


@pytest.mark.usefixtures("tiny")
def test_mapped_where_it_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "IN_MEMORY", 1000)
    for _ in range(2):
        data = load("tfds:tiny_photos", image_size=(8, 6), validation=6, cache_dir=tmp_path)
        check(data)
        assert isinstance(data.train.pixels, np.memmap)
        files = sorted(f.name for f in tmp_path.rglob("*.*") if f.is_file())
        assert files == [f"{s}-8-6-3-crop{e}.npy" for s in ("test", "train") for e in ("-labels", "")]
        monkeypatch.setattr(tfds._Reader, "_fill", None)  # the second time nothing is read again


def test_missing_data_in_one_line(prepared, tmp_path, monkeypatch):
    library, _ = prepared
    monkeypatch.setattr(library, "builder", functools.partial(library.builder, data_dir=tmp_path / "none"))
    with pytest.raises(InputError, match=r"t\.load\('mnist'\)") as error:
        load("tfds:mnist", cache_dir=tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="knows no data set"):
        load("tfds:no_such_data_at_all", cache_dir=tmp_path)
    with pytest.raises(InputError, match=r"knows no data set.*; did you mean tfds:mnist\?"):
        load("tfds:mnsit", cache_dir=tmp_path)
    with pytest.raises(InputError, match=r"expected tfds:NAME or tfds:NAME/CONFIG$"):
        load("tfds:../../etc", cache_dir=tmp_path)
    with pytest.raises(InputError, match=r"expected tfds:NAME or tfds:NAME/CONFIG; did you mean tfds:cifar10\?"):
        load("tfds:CIFAR-10", cache_dir=tmp_path)
    monkeypatch.setattr(sources, "FASHION_MNIST_FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"apt install dataset-fashion-mnist.*t\.load\('fashion_mnist'\)"):
        load("fashion-mnist", cache_dir=tmp_path)


def test_missing_package_in_one_line(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **options):
        if name.startswith("tensorflow_datasets"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match="tfds:mnist needs the package tensorflow_datasets: pip install"):
        load("tfds:mnist")
