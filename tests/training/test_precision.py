import keras
import pytest
import tensorflow as tf

from keras_cnn.training import precision


@pytest.mark.parametrize(
    ("wanted", "bfloat16", "chosen"),
    [
        ("auto", True, "mixed_bfloat16"),
        ("auto", False, "float32"),
        ("float32", True, "float32"),
        ("mixed_bfloat16", False, "mixed_bfloat16"),
        ("mixed_float16", True, "mixed_float16"),
    ],
)
def test_auto_takes_bfloat16_where_the_hardware_computes_in_it(wanted, bfloat16, chosen):
    assert precision.choose_precision(wanted, {"bfloat16": bfloat16}) == chosen


@pytest.fixture
def processor(monkeypatch):
    """Sets what /proc/cpuinfo says."""

    def set_to(**fields: str) -> None:
        monkeypatch.setattr(precision, "_cpu_field", lambda name: fields.get(name.replace(" ", "_"), ""))

    return set_to


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("fpu avx512_bf16 sse", True),
        ("amx_bf16", True),
        ("avx512f avx2", False),
        ("avx512_bf16_not", False),
        ("", False),
    ],
)
def test_a_processor_has_bfloat16_by_its_flags(processor, monkeypatch, flags, found):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    processor(model_name="a processor", flags=flags)
    hardware = precision.hardware()
    assert hardware["bfloat16"] is found
    assert (hardware["processor"], hardware["gpus"]) == ("a processor", [])


@pytest.mark.parametrize(
    ("capabilities", "found"),
    [([(8, 0)], True), ([(7, 5)], False), ([(9, 0), (7, 0)], False), ([None], False)],
)
def test_a_gpu_has_bfloat16_from_ampere_on_whatever_the_processor_has(processor, monkeypatch, capabilities, found):
    details = [{"device_name": "a GPU"} | ({"compute_capability": c} if c else {}) for c in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: list(range(len(details))))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)
    processor(flags="amx_bf16")
    hardware = precision.hardware()
    assert hardware["bfloat16"] is found
    assert hardware["gpus"] == ["a GPU"] * len(capabilities)


def test_this_machine_is_described():
    hardware = precision.hardware()
    assert set(hardware) == {"processor", "cores", "gpus", "bfloat16"}
    assert hardware["cores"] >= 1
    assert isinstance(hardware["bfloat16"], bool)


@pytest.fixture
def policy_kept():
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize(
    ("deterministic", "gpus", "expected"),
    [("auto", 0, True), ("auto", 1, False), ("yes", 1, True), ("no", 0, False)],
)
def test_determinism_is_the_default_without_a_gpu(policy_kept, monkeypatch, deterministic, gpus, expected):
    called = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: list(range(gpus)))
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: called.append(True))
    precision.apply(3, "mixed_bfloat16", deterministic)
    assert bool(called) is expected
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_the_seed_decides_the_weights(policy_kept):
    def weights(seed):
        precision.apply(seed, "float32", "no")
        layer = keras.layers.Dense(4)
        layer.build((None, 3))
        return layer.get_weights()[0]

    first, again, other = weights(3), weights(3), weights(4)
    assert (first == again).all()
    assert (first != other).any()
