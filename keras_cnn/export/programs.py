"""The program beside each exported file: a few lines that classify images with nothing but that format's runtime."""

from pathlib import Path

_PROGRAM = '''"""Classifies images with {file}: python {name} IMAGE ...

It needs {needs}, NumPy and Pillow: pip install {packages} numpy pillow
"""
import json
import sys
from pathlib import Path

import numpy as np
{imports}
from PIL import Image, ImageOps

here = Path(__file__).resolve().parent
classes = json.loads((here / "classes.json").read_text(encoding="utf-8"))
{constants}{load}
for path in sys.argv[1:]:
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("{mode}")
{fit}
    logits = {run}
{show}'''
_ONE_CLASS = """\
    powers = np.exp((logits - logits.max()) / {temperature})
    for index in np.argsort(-powers)[:5]:
        print(f"{{path}}  {{powers[index] / powers.sum():.4f}}  {{classes[index]}}")
"""
_THRESHOLDS = 'thresholds = json.loads((here / "export.json").read_text(encoding="utf-8"))["thresholds"]\n'
_SEVERAL_LABELS = """\
    probabilities = (1 + np.tanh(np.float64(logits) / 2)) / 2
    found = [i for i in np.argsort(-probabilities) if probabilities[i] >= thresholds[classes[i]]]
    for index in found:
        print(f"{path}  {probabilities[index]:.4f}  {classes[index]}")
    if not found:
        print(f"{path}  none of the classes")
"""
_CROP = """\
    width = min(image.width, int(image.height * {w} / {h} + 0.5))
    height = min(image.height, int(image.width * {h} / {w} + 0.5))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    image = image.crop((left, top, left + width, top + height)).resize(({w}, {h}), Image.Resampling.BILINEAR)"""
_STRETCH = "    image = image.resize(({w}, {h}), Image.Resampling.BILINEAR)"
_PAD = """\
    width = min({w}, int(image.width * {h} / image.height + 0.5))
    height = min({h}, int(image.height * {w} / image.width + 0.5))
    inner, image = image.resize((width, height), Image.Resampling.BILINEAR), Image.new(image.mode, ({w}, {h}))
    image.paste(inner, (({w} - width) // 2, ({h} - height) // 2))"""
_CENTER = _CROP.replace(
    "    left, top",
    """\
    if image.size != ({w}, {h}):
        width, height = (7 * width + 4) // 8, (7 * height + 4) // 8
    left, top""",
)
_FITS = {"crop": _CROP, "center": _CENTER, "stretch": _STRETCH, "pad": _PAD}
_FORMATS = {  # needs, packages, imports, load, run
    "keras": (
        "Keras on any backend",
        "keras tensorflow",
        "import keras",
        'model = keras.saving.load_model(here / "model.keras", compile=False)',
        'keras.ops.convert_to_numpy(model({pixels}.astype("float32")))[0]',
    ),
    "savedmodel": (
        "TensorFlow",
        "tensorflow",
        "import tensorflow as tf",
        'serve = tf.saved_model.load(here / "savedmodel").signatures["serving_default"]',
        'serve(image=tf.constant({pixels}))["logits"].numpy()[0]',
    ),
    "litert": (
        "LiteRT",
        "ai-edge-litert",
        "from ai_edge_litert.interpreter import Interpreter",
        'run = Interpreter(str(here / "model.tflite")).get_signature_runner()',
        'run(image={pixels})["logits"][0]',
    ),
    "litert-int8": (
        "LiteRT",
        "ai-edge-litert",
        "from ai_edge_litert.interpreter import Interpreter",
        'run = Interpreter(str(here / "model_int8.tflite")).get_signature_runner()',
        'run(image={pixels})["logits"][0]',
    ),
    "onnx": (
        "ONNX Runtime",
        "onnxruntime",
        "import onnxruntime",
        'session = onnxruntime.InferenceSession(here / "model.onnx")',
        'session.run(["logits"], {{"image": {pixels}}})[0][0]',
    ),
}


def program_name(name: str) -> str:
    """The file name of the program for a format."""
    return f"predict_{name.replace('-', '_')}.py"


def write_program(
    folder: Path,
    name: str,
    file: str,
    shape: tuple[int, int, int],
    *,
    fit: str,
    temperature: float,
    several_labels: bool = False,
) -> None:
    """Writes the program for the format `name`, whose exported model `file` takes images of `shape` (H, W, C).

    It brings images to that shape as `data.decoding.decode` does with `fit`, divides the logits by `temperature`, and
    reads the names of the classes from classes.json. With `several_labels` it names each class whose probability
    reaches its threshold in export.json.
    """
    height, width, channels = shape
    needs, packages, imports, load, run = _FORMATS[name]
    text = _PROGRAM.format(
        file=file,
        name=program_name(name),
        needs=needs,
        packages=packages,
        imports=imports,
        load=load,
        mode="L" if channels == 1 else "RGB",
        fit=_FITS[fit].format(w=width, h=height),
        run=run.format(pixels=f"np.asarray(image).reshape(1, {height}, {width}, {channels})"),
        constants=_THRESHOLDS if several_labels else "",
        show=_SEVERAL_LABELS if several_labels else _ONE_CLASS.format(temperature=f"{temperature:g}"),
    )
    (folder / program_name(name)).write_text(text, encoding="utf-8")
