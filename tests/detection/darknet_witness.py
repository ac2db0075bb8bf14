"""Debian's libdarknet, called in a process of its own: `python darknet_witness.py` with jobs as JSON on standard input.

A job is {"cfg", "weights"} with either "input", an .npy of (C, H, W) float32, or "images", files: answered with the
numbers of the last layer, or with the detections of each image as [class, probability, x0, y0, x1, y1].
"""

import ctypes
import json
import os
import sys
from ctypes import POINTER, Structure, byref, c_char_p, c_float, c_int, c_void_p

import numpy as np

LIBRARY = "/usr/lib/darknet/libdarknet.so"


class Box(Structure):
    _fields_ = [(name, c_float) for name in "xywh"]


class Detection(Structure):
    _fields_ = [
        ("box", Box),
        ("classes", c_int),
        ("probabilities", POINTER(c_float)),
        ("mask", POINTER(c_float)),
        ("objectness", c_float),
        ("sort_class", c_int),
    ]


class Image(Structure):
    _fields_ = [("w", c_int), ("h", c_int), ("c", c_int), ("data", POINTER(c_float))]


def declared():
    library = ctypes.CDLL(LIBRARY)
    for name, result, arguments in (
        ("load_network", c_void_p, [c_char_p, c_char_p, c_int]),
        ("network_predict", POINTER(c_float), [c_void_p, POINTER(c_float)]),
        ("load_image_color", Image, [c_char_p, c_int, c_int]),
        ("network_predict_image", POINTER(c_float), [c_void_p, Image]),
        (
            "get_network_boxes",
            POINTER(Detection),
            [c_void_p, c_int, c_int, c_float, c_float, c_void_p, c_int, POINTER(c_int)],
        ),
        ("do_nms_sort", None, [POINTER(Detection), c_int, c_int, c_float]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def outputs(library, job: dict) -> list[float]:
    network = library.load_network(job["cfg"].encode(), job["weights"].encode(), 0)
    values = np.ascontiguousarray(np.load(job["input"]), np.float32)
    found = library.network_predict(network, values.ctypes.data_as(POINTER(c_float)))
    return np.ctypeslib.as_array(found, (job["numbers"],)).tolist()


def detections(library, job: dict) -> list[list]:
    network = library.load_network(job["cfg"].encode(), job["weights"].encode(), 0)
    found = []
    for file in job["images"]:
        image = library.load_image_color(file.encode(), 0, 0)
        library.network_predict_image(network, image)
        count = c_int()
        boxes = library.get_network_boxes(network, image.w, image.h, 0.25, 0.5, None, 0, byref(count))
        library.do_nms_sort(boxes, count.value, boxes[0].classes if count.value else 0, 0.45)
        rows = []
        for one in (boxes[i] for i in range(count.value)):
            b = one.box
            corners = [b.x - b.w / 2, b.y - b.h / 2, b.x + b.w / 2, b.y + b.h / 2]
            rows += [[k, one.probabilities[k], *corners] for k in range(one.classes) if one.probabilities[k] > 0.25]
        found.append(sorted(rows, key=lambda row: -row[1]))
    return found


if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # the library prints
    jobs = json.load(sys.stdin)
    darknet = declared()
    done = [(outputs if "input" in job else detections)(darknet, job) for job in jobs]
    with os.fdopen(answers, "w") as file:
        json.dump(done, file)
