"""The study of Bayes against random search, on a size at which its numbers mean nothing."""

import pytest

from benchmarks import search

SAME = [0.1, 0.5, 0.3, float("nan"), 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]


def test_both_methods_train_the_same_trials_first(tmp_path, monkeypatch):
    monkeypatch.setattr(
        search, "BASE", search.BASE.replace("train: 1000", "train: 50").replace("epochs: 4", "epochs: 1")
    )
    monkeypatch.setattr(search.worker.experiment, "train", train(search.worker.experiment.train))
    random, bayes = (search.search(method, 3, 12, tmp_path) for method in search.METHODS)
    assert random[:10] == bayes[:10]
    settings = [[t.assignment for t in search.Study(tmp_path / f"{m}-3").trials()] for m in search.METHODS]
    assert settings[0][:10] == settings[1][:10]
    assert settings[0][10:] != settings[1][10:]
    monkeypatch.setattr(search.worker, "_train", None)
    assert search.search("bayes", 3, 12, tmp_path) == bayes  # is not trained again


def train(original):
    """Trains the first two trials of a sweep, and takes the others' learning rate for their value."""

    def train_trial(config, folder, prepare, watch):
        if folder.path.name in ("0001", "0002"):
            return original(config, folder, prepare, watch=watch)
        (folder / "config.yaml").touch()
        row = dict.fromkeys(search.worker.HISTORY_COLUMNS, 1) | {"val_accuracy": config.optim.learning_rate}
        folder.write_history([row])
        return (folder / "metrics.json").write_text('{"best_epoch": 1}')

    return train_trial


def test_the_pairs_are_compared_by_their_best():
    found = {
        1: ([*SAME, 0.6, 0.4], [*SAME, 0.61, 0.61]),
        2: ([*SAME, 0.1, 0.1], [*SAME, 0.53, float("nan")]),
        3: ([*SAME, 0.7, 0.1], [*SAME, 0.69, 0.69]),
    }
    first, second, third, last = search.report(found).splitlines()
    assert first == (
        "seed   1  first 10: 0.5000  random 0.6000  bayes 0.6100  +1.00 points"
        "   mean of the later trials: random 0.5000, bayes 0.6100"
    )
    assert "random 0.5000  bayes 0.5300  +3.00 points" in second
    assert third.endswith("random 0.4000, bayes 0.6900")
    # differences 1, 3, -1: mean 1 ± 4.3027 · 2 / √3, and 6 of 8 choices of signs have a sum of 3 or more, or -3 or less
    assert last == "mean difference +1.00 points [-3.97, +5.97] (Student t, paired, 95 %); sign-flip p = 0.750"


def test_pairs_that_have_nothing_in_common_are_refused():
    with pytest.raises(ValueError, match="seed 1: the first 10 trials differ"):
        search.report({1: ([0.1] * 12, [0.2] * 12)})


@pytest.mark.parametrize(("words", "said"), [(["--seeds", "1"], "at least 2"), (["--trials", "10"], "more than 10")])
def test_studies_that_say_nothing_are_refused(capsys, words, said):
    with pytest.raises(SystemExit):
        search.main(words)
    assert said in capsys.readouterr().err
