import keras
import pytest
import tensorflow as tf

from keras_cnn.training import precision
from keras_cnn.training.gpus import Gpu

AMPERE, TURING, PASCAL = [8, 0], [7, 5], [6, 1]


@pytest.mark.parametrize(
    ("wanted", "capabilities", "bfloat16", "chosen"),
    [
        ("auto", [], True, "mixed_bfloat16"),
        ("auto", [], False, "float32"),
        ("auto", [AMPERE, [9, 0]], True, "mixed_bfloat16"),
        ("auto", [AMPERE, TURING], False, "mixed_float16"),
        ("auto", [[7, 0]], False, "mixed_float16"),
        ("auto", [PASCAL, AMPERE], False, "float32"),
        ("float32", [], True, "float32"),
        ("mixed_bfloat16", [TURING], False, "mixed_bfloat16"),
        ("mixed_float16", [], True, "mixed_float16"),
    ],
)
def test_auto_takes_the_16_bit_format_that_all_the_hardware_computes_in(wanted, capabilities, bfloat16, chosen):
    hardware = {"bfloat16": bfloat16} | ({"compute_capabilities": capabilities} if capabilities else {})
    assert precision.choose_precision(wanted, hardware) == chosen


@pytest.mark.parametrize(
    ("wanted", "chosen", "capabilities", "line"),
    [
        ("auto", "mixed_bfloat16", [(8, 0)], "A has compute capability 8.0; bfloat16 needs 8.0, float16 7.0"),
        (
            *("auto", "mixed_float16", [(8, 0), (7, 5)]),
            "B has compute capability 7.5; bfloat16 needs 8.0, float16 7.0",
        ),
        ("auto", "float32", [(6, 1)], "A has compute capability 6.1; bfloat16 needs 8.0, float16 7.0"),
        ("auto", "mixed_bfloat16", [], "the processor has amx_bf16"),
        ("auto", "float32", [], "as the run began, or as the network's file says"),
        ("float32", "float32", [(8, 0)], "the config sets it"),
    ],
)
def test_the_number_format_is_said_with_its_reason(processor, gpus_of, caplog, wanted, chosen, capabilities, line):
    processor(flags="amx_bf16")
    gpus_of(capabilities)
    with caplog.at_level("INFO"):
        precision.log_hardware(wanted, chosen, precision.hardware())
    scaled = " with loss scaling" if chosen == "mixed_float16" else ""
    assert [record.message for record in caplog.records] == [f"precision {chosen}{scaled}: {line}"]


def test_a_processor_without_bfloat16_is_said_too(processor, caplog):
    processor(flags="avx2")
    with caplog.at_level("INFO"):
        precision.log_hardware("auto", "float32", precision.hardware())
    assert caplog.messages == ["precision float32: the processor has neither amx_bf16 nor avx512_bf16"]


@pytest.fixture
def gpus_of(monkeypatch):
    """Sets the compute capabilities of the GPUs A, B, ... that TensorFlow sees."""
    monkeypatch.setattr(precision.gpus, "problems", lambda gpus: ())

    def set_to(capabilities):
        found = [Gpu(name, capability) for name, capability in zip("ABC", capabilities, strict=False)]
        monkeypatch.setattr(precision.gpus, "visible_gpus", lambda: found)

    return set_to


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
def test_a_processor_has_bfloat16_by_its_flags(processor, gpus_of, flags, found):
    gpus_of([])
    processor(model_name="a processor", flags=flags)
    hardware = precision.hardware()
    assert hardware["bfloat16"] is found
    assert (hardware["processor"], hardware["gpus"]) == ("a processor", [])


@pytest.mark.parametrize(
    ("capabilities", "found"),
    [([(8, 0)], True), ([(7, 5)], False), ([(9, 0), (7, 0)], False), ([None], False)],
)
def test_a_gpu_has_bfloat16_from_ampere_on_whatever_the_processor_has(processor, gpus_of, capabilities, found):
    processor(flags="amx_bf16")
    gpus_of(capabilities)
    hardware = precision.hardware()
    assert hardware["bfloat16"] is found
    assert hardware["gpus"] == ["A", "B"][: len(capabilities)]
    assert hardware["compute_capabilities"] == [list(each or (0, 0)) for each in capabilities]


def test_this_machine_is_described(monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    hardware = precision.hardware()
    assert set(hardware) == {"processor", "cores", "gpus", "bfloat16"}
    assert hardware["cores"] >= 1
    assert isinstance(hardware["bfloat16"], bool)


@pytest.mark.parametrize(("value", "told"), [("1", True), ("True", True), ("0", False), ("false", False)])
def test_what_tensorflow_was_told_of_onednn_is_on_record(monkeypatch, value, told):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", value)
    assert precision.hardware()["onednn"] is told


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
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: list(range(gpus)))
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
