import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.data.shards.array_record_index import index_array_record, open_reader, read_features, read_images
from keras_cnn.data.shards.tf_example import features_of
from keras_cnn.errors import InputError

COUNT = 70  # more than are read at a time


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set as TensorFlow Datasets prepares it."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 6, 3), np.uint8)

    class Leaves(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = tmp_path_factory.mktemp("package")

        def _info(self):
            names = ["oak", "ash", "elm"]
            features = {
                "photo": tfds.features.Image(shape=(8, 6, 3)),
                "file": tfds.features.Text(),
                "kind": tfds.features.ClassLabel(names=names),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, _):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i, image in enumerate(pixels):
                yield i, {"photo": image, "file": str(i), "kind": i % 3}

    builder = Leaves(data_dir=tmp_path_factory.mktemp("data"), file_format="array_record")
    builder.download_and_prepare()
    return Path(builder.data_path), builder.as_data_source("train")


def test_records_are_found_by_their_number(folder):
    folder, witness = folder
    (path,) = folder.glob("*array_record*")
    assert read_features(folder) == ("photo", "kind", ("oak", "ash", "elm"))
    index = index_array_record(path)
    assert index.ids[69] == f"{path.name}/000069"
    assert index.offsets.tolist() == list(range(COUNT))
    assert [index.titles[label] for label in index.labels] == [str(row["kind"]) for row in witness]
    reader = open_reader(path)
    chosen = [50, 3, 69]
    images = read_images(path, reader, chosen)
    for number, image in zip(chosen, images, strict=True):
        assert len(image) == index.sizes[number]
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image))), witness[number]["photo"])
    with pytest.raises(OSError, match=path.name):
        read_images(path, reader, [COUNT])


def test_an_example_is_read_as_tensorflow_reads_it():
    tf = pytest.importorskip("tensorflow")
    lists = {
        "a": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x\0", b""])),
        "b": tf.train.Feature(int64_list=tf.train.Int64List(value=[0, -5, 2**40])),
        "c": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5])),
        "d": tf.train.Feature(),
    }
    record = tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString()
    assert features_of(record) == {"a": [b"x\0", b""], "b": [0, -5, 2**40], "c": [0.5], "d": []}
    with pytest.raises(ValueError, match="pars"):
        features_of(b"\xff\xff")


def test_bad_files_are_one_line(folder, tmp_path):
    path = next(folder[0].glob("*array_record*"))
    for name in ("features.json", "kind.labels.txt"):
        (tmp_path / name).write_bytes((folder[0] / name).read_bytes())
    cut = tmp_path / path.name
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"damaged or truncated \(.*\); expected a whole ArrayRecord file$"):
        index_array_record(cut)
    described = json.loads((tmp_path / "features.json").read_text())
    del described["featuresDict"]["features"]["kind"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "features.json").write_text(json.dumps(described))
    with pytest.raises(
        InputError, match=r"found file \(Text\), photo \(Image\); expected one Image and one ClassLabel"
    ):
        read_features(other)
    with pytest.raises(InputError, match=r"features.json: cannot read the description of the records: No such file"):
        read_features(tmp_path / "none")
