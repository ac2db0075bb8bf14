"""ONNX: a file for ONNX Runtime, OpenVINO, TensorRT and browser runtimes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_cnn.errors import InputError
from keras_cnn.export.endpoint import INPUT, OUTPUT, classify, quiet, signature
from keras_cnn.models.class_names import classes_text, parsed_classes
from keras_cnn.operating_system import cores

FILE = "model.onnx"
RUNTIME = "onnxruntime"
MODULES = ("tf2onnx", "onnx", "onnxruntime")  # of the extra `export`
CLASSES = "classes"  # the key of the model's metadata
OPSET = 17  # from 2022: has all operations of the networks; runtimes since then support it


def write(model: keras.Model, path: Path, classes: Sequence[str]) -> None:
    """Writes `path`, a model from `image` (N, H, W, C) uint8, any N, to `logits`.

    The metadata (`metadata_props`) have the names of the classes as a JSON list, under the key "classes".
    """
    import onnx
    import tf2onnx

    function = tf.function(_plain(model), signature(model), autograph=False)
    with quiet("tensorflow", "tf2onnx"):
        proto, _ = tf2onnx.convert.from_function(
            function, signature(model), opset=OPSET, custom_op_handlers={"Erfc": (_erfc, [])}
        )
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:  # tf2onnx leaves operations that it cannot convert in the graph
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"onnx: {model.name} cannot be converted: {reason}") from None
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.helper.set_model_props(proto, {CLASSES: classes_text(classes)})
    onnx.save(proto, path)


def _plain(model: keras.Model) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """`classify` with its constants in the graph and without functions compiled by XLA.

    tf2onnx treats captured tensors, such as the statistics of an EfficientNet's Normalization, as inputs, and does not
    convert compiled functions, such as Keras's grouped convolutions.
    """
    traced = tf.function(classify(model), signature(model), autograph=False).get_concrete_function()
    frozen = convert_variables_to_constants_v2(traced)
    graph = frozen.graph.as_graph_def()
    for holder in (*graph.node, *graph.library.function):
        for name in ("_XlaMustCompile", "_noinline"):
            if name in holder.attr:
                del holder.attr[name]

    def call(image):
        (logits,) = tf.graph_util.import_graph_def(graph, {INPUT: image}, [frozen.outputs[0].name])
        return {OUTPUT: logits}

    return call


def _erfc(graph, node, name: str, _arguments: list) -> None:
    """Replaces erfc by 1 - erf: TensorFlow's GELU uses erfc, which neither ONNX nor tf2onnx 1.17 has."""
    shapes, types = node.output_shapes, node.output_dtypes
    graph.remove_node(name)
    erf = graph.make_node("Erf", node.input, shapes=shapes, dtypes=types)
    one = graph.make_const(f"{name}/one", np.array(1, np.float32))
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=node.output, shapes=shapes, dtypes=types)


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The exported function at `path`, from uint8 images (N, H, W, C) to float32 logits (N, classes)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(cores())
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run([OUTPUT], {INPUT: images})[0])


def classes_in(path: Path) -> tuple[str, ...]:
    """The names of the classes in the file; () if it has none. InputError for anything but a list of names."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # only the metadata are read
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map.get(CLASSES)
    return parsed_classes(text, f"{path}: {CLASSES}") if text else ()
