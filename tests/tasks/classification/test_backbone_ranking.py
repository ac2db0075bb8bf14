import json

import keras
import numpy as np
import pytest

from keras_cnn import config
from keras_cnn.cli import finetune
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.models import backbones
from keras_cnn.report import backbones as report
from keras_cnn.report.html import write_report
from keras_cnn.tasks.classification import backbone_ranking
from keras_cnn.tasks.classification.backbone_ranking import Candidate, ProbedBackbone, candidates, table

WORDS = ["--data.source=fashion-mini", "--data.subset=8", "--data.validation=60", "--precision=float32"]


def probed(name: str, linear: list[int], nearest: list[int]) -> ProbedBackbone:
    right = np.array(linear, bool), np.array(nearest, bool)
    return ProbedBackbone(Candidate(name, "none"), (28, 28), 5, 2, 0.1, 1.0, right[1], right[0])


def test_the_best_linear_probe_is_first_and_k_nn_decides_ties():
    ones, half = [1] * 12, [1] * 6 + [0] * 6
    frame = table([probed("low", half, ones), probed("tie", ones, half), probed("first", ones, ones)])
    assert frame["backbone"].tolist() == ["first", "tie", "low"]
    assert frame["linear_accuracy"].tolist() == [1, 1, 0.5]
    assert frame["difference"].tolist() == [0, 0, -0.5]
    assert np.isnan(frame.loc[0, ["difference_low", "difference_high", "p"]].astype(float)).all()
    assert frame["p"][1:].tolist() == pytest.approx([1, 2 * 2 * 0.5**6])  # exact McNemar, twice by Holm
    assert (frame["linear_low"][2], frame["linear_high"][2]) == pytest.approx((0.2538, 0.7462), abs=1e-4)
    low, high = frame.loc[2, ["difference_low", "difference_high"]]
    assert low < -0.5 < high < 0


def test_candidates_are_named_or_have_their_weights_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert candidates(None, None) == [Candidate("resnet8", "fashion")]  # comes with the package
    (tmp_path / "models").mkdir()
    for file in ("xception_weights_tf_dim_ordering_tf_kernels_notop.h5", "mobilenet_1_0_160_tf_no_top.h5"):
        (tmp_path / "models" / file).touch()
    found = [str(each) for each in candidates(None, 160)]
    assert found == ["mobilenet", "resnet8=fashion", "xception"]
    assert [str(each) for each in candidates(None, None)] == ["resnet8=fashion", "xception"]  # MobileNet's own is 224
    assert candidates("vgg16=a.h5, resnet50", None) == [Candidate("vgg16", "a.h5"), Candidate("resnet50", "imagenet")]
    with pytest.raises(InputError, match=r"unknown backbone 'resnet5'.*resnet50"):
        candidates("resnet5", None)
    with pytest.raises(InputError, match="resnet50 is given twice"):
        candidates(["resnet50", "resnet50=imagenet"], None)


@pytest.fixture(scope="module")
def ranking(tmp_path_factory):
    """The folder of a ranking of two networks."""
    folder = tmp_path_factory.mktemp("ranking")
    words = [*WORDS, f"--data.cache_dir={folder / 'cache'}", "--run-dir", str(folder / "probe")]
    finetune.main(["--probe", "resnet8=none,resnet8=fashion", *words])
    return folder / "probe"


def test_a_ranking_is_of_the_mean_of_the_last_map_in_inference_mode(ranking, monkeypatch):
    seen = []

    def keep(features, labels, others, seed):
        seen.append((features, labels, others))
        raise ValueError("no features")

    monkeypatch.setattr(backbone_ranking, "probe_features", keep)
    settings = config.load(None, [*WORDS, f"--data.cache_dir={ranking.parent / 'cache'}"], BUILDERS)
    with pytest.raises(InputError, match="probe: resnet8=fashion gives no features"):
        backbone_ranking.rank(settings, [Candidate("resnet8", "fashion")])
    ((features, labels, others),) = seen
    dataset, model = load_dataset(settings), backbones.backbone("resnet8", (28, 28, 1), weights="fashion")
    maps = keras.Model.from_config(model.get_config())
    maps.set_weights(model.get_weights())
    for split, found in ((dataset.train, features), (dataset.validation, others)):
        expected = maps.predict(split.pixels.astype(np.float32), verbose=0).mean(axis=(1, 2))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(labels, dataset.train.labels)
    assert len(list((ranking.parent / "cache").glob("features-*"))) == 4  # those of the command were read


def test_a_ranking_leaves_its_table_and_its_page(ranking):
    rows = json.loads((ranking / "backbones.json").read_text())["backbones"]
    assert [row["weights"] for row in rows] == ["fashion", "none"]  # its six classes are among the ten
    assert rows[0]["linear_accuracy"] > rows[1]["linear_accuracy"]
    assert sorted(path.name for path in ranking.iterdir() if path.suffix) == [
        *("backbones.csv", "backbones.json", "backbones.png", "run.lock"),
    ]
    page = write_report([ranking]).read_text()
    for word in (
        "resnet8, fashion",
        "Linear probe",
        "the test images are not read",
        f"{rows[0]['linear_accuracy']:.2%}",
    ):
        assert word.replace("%", " %") in page
    assert report.read(ranking)["validation_images"] == 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "found version 2, expected 1; probe again"),
        ({"backbones": []}, "found no backbones"),
        ({"backbones": [{"backbone": "a", "weights": "none"}]}, r"backbones\.0\.image_height"),
        ({"source": ["a"]}, "source: "),
    ],
)
def test_a_damaged_ranking_is_refused_with_its_field(ranking, tmp_path, change, message):
    (tmp_path / "backbones.json").write_text(json.dumps(json.loads((ranking / "backbones.json").read_text()) | change))
    with pytest.raises(InputError, match=message):
        write_report([tmp_path])


def test_what_does_not_fit_a_probe_is_refused(ranking, tmp_path):
    for words in (["--freeze-upto", "2"], ["--dry-run"], ["--backbone", "resnet8"], ["--folds", "3"]):
        with pytest.raises(InputError, match=rf"{words[0]} does not fit --probe"):
            finetune.main(["--probe", "resnet8=none", *words, *WORDS])
    with pytest.raises(InputError, match="has its own page"):
        write_report([ranking, tmp_path])
