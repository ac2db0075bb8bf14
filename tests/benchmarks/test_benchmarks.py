"""Each benchmark runs from start to end, on sizes at which its numbers mean nothing."""

import re

import pytest

from benchmarks import interleave, precision, starting

RATE = re.compile(r"\d+ images/s")
TINY = """
from pathlib import Path
from benchmarks import augmentation, inference, interleave, pipeline, prediction, small_networks, training
interleave.ROUNDS = 1
pipeline.COUNT, pipeline.BATCH, pipeline.PHOTOS = 20, 8, Path("no such file")
training.IMAGES, training.BATCH, training.EPOCH_IMAGES, training.PRODUCTS = 8, 4, 120, (16,)
training.find_spec = lambda name: None
build, training.models.build = training.models.build, lambda name, *sizes, **options: build("net1", *sizes, l1_oc=2)
prediction.IMAGES, prediction.SAMPLE, prediction.BATCH, prediction.KERAS_BATCHES = 8, 4, 4, (2, 4)
for main in (pipeline.main, training.compare_steps, training.compare_epoch):
    main()
    print("-----")
training.models.build = build
prediction.main()
print("-----")
small_networks.IMAGES, small_networks.VALIDATION = 256, 16
small_networks.CASES.pop("the default network, batch 64")
small_networks.main()
print("-----")
inference.IMAGES, inference.BATCH, inference.find_spec = 8, 4, lambda name: None
inference.main()
print("-----")
augmentation.SIZES, augmentation.BATCHES = {16: 4}, 1
augmentation.WANTED = {name: augmentation.WANTED[name] for name in ("crops and flips", "trivialaugment")}
augmentation.main()
"""


@pytest.fixture(scope="module")
def printed(fork_server) -> list[str]:
    """What each benchmark prints; in a process of their own, as they set it to be deterministic."""
    done = fork_server.run(TINY)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("-----")


def test_rates_are_images_by_seconds_in_turns(monkeypatch):
    now, order = [0.0], []
    monkeypatch.setattr(interleave.time, "perf_counter", lambda: now[0])

    def contestant(name, seconds):
        def work():
            order.append(name)
            now[0] += seconds
            return 60

        return work

    rates = interleave.interleave({"a": contestant("a", 2), "b": contestant("b", 3)}, rounds=2)
    assert rates == {"a": [30, 30], "b": [20, 20]}
    assert "".join(order) == "ab" + "ab" + "ba"
    shown = interleave.table({"a": [30, 10, 20], "b": [40, 40, 40]}, "a", {"b": 1.5}).splitlines()
    assert re.search(r"^a +20 images/s \(10 to 30\) +1.00x$", shown[0])
    assert re.search(r"^b +40 images/s \(40 to 40\) +2.00x   target 1.5x$", shown[1])


def test_pipeline(printed):
    assert len(RATE.findall(printed[0])) == 3


def test_training_steps(printed):
    assert len(RATE.findall(printed[1])) == 2
    assert ".venv/bin/pip install 'torch==2.13.*'" in printed[1]


def test_training_epoch(printed):
    assert len(RATE.findall(printed[2])) == 2
    assert re.search(r"over the bare steps: \d+\.\d{3}   target at most 1\.1", printed[2])


def test_augmentation(printed):
    assert len(RATE.findall(printed[6])) == 3


def test_prediction(printed):
    assert len(RATE.findall(printed[3])) == 4
    assert len(re.findall(r"against .*: \d+\.\d\dx   target 1\.6x", printed[3])) == 3
    assert len(re.findall(r"logits within \d\.\de[-+]\d\d of the largest in float32; \d+\.\d\d%", printed[3])) == 2


def test_small_networks(printed):
    assert len(RATE.findall(printed[4])) in (2, 3)  # with one or with two number formats of Keras's
    assert len(re.findall(r"against the best, Keras fit, .*: \d+\.\d\dx   target 1\.0x", printed[4])) == 1


def test_inference(printed):
    assert len(RATE.findall(printed[5])) == 2
    assert re.search(r"against ONNX Runtime: \d+\.\d\dx   target 1\.0x", printed[5])
    assert ".venv/bin/pip install 'torch==2.13.*'" in printed[5]


def test_starting_times_processes_to_their_first_step(monkeypatch, capsys):
    """By scripts that do nothing else; the real ones take a minute."""
    monkeypatch.setattr(interleave, "ROUNDS", 1)
    monkeypatch.setattr(starting, "images", lambda folder: folder)
    for name in ("OUR_SCRIPT", "KERAS_SCRIPT"):
        monkeypatch.setattr(starting, name, 'print("first step")')
    starting.main()
    shown = capsys.readouterr().out
    assert len(re.findall(r"\d+\.\d\d s \(", shown)) == 2
    assert re.search(r"^train.py over a bare script of Keras: \d+\.\d\d$", shown, re.MULTILINE)
    with pytest.raises(AssertionError, match="NameError"):
        starting.process("nothing")()


def test_precision_reports_the_paired_differences():
    found = {seed: (0.70 + 0.01 * seed, 0.70 + 0.01 * seed + d) for seed, d in enumerate((0.01, 0.03, -0.01), 1)}
    *rows, last = precision.report(found).splitlines()
    assert rows[0] == "seed   1  float32 0.7100  bfloat16 0.7200  +1.00 points"
    # mean 1, standard deviation 2, t(0.975, 2) = 4.3027: 1 ± 4.3027 * 2 / sqrt(3); 2 of 8 signs reach |sum| < 3: p 6/8
    assert last.endswith("+1.00 points [-3.97, +5.97] (Student t, paired, 95 %); sign-flip p = 0.750")


def test_precision_trains_what_is_missing_and_reads_what_is_there(tmp_path):
    changes = ["--model.l1_oc=2", "--data.train=40", "--data.validation=20", "--train.epochs=1"]
    run = ("fashion-mini", 3, "float32", tmp_path, changes)
    first = precision.accuracy(*run)
    (metrics,) = tmp_path.glob("float32-3/metrics.json")
    written = metrics.stat().st_mtime_ns
    assert precision.accuracy(*run) == first
    assert metrics.stat().st_mtime_ns == written


def test_precision_wants_two_seeds_at_least(capsys):
    with pytest.raises(SystemExit):
        precision.main(["--source", "fashion-mini", "--seeds", "1"])
    assert "--seeds 1: expected at least 2" in capsys.readouterr().err
