"""The records of TensorFlow Datasets, `tf.train.Example`, read by protobuf without the import of TensorFlow.

The message is that of tensorflow/core/example/example.proto and feature.proto.
"""

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_PACKAGE = "keras_cnn.examples"
_BYTES, _FLOAT, _INT64, _STRING, _MESSAGE = 12, 2, 3, 9, 11  # FieldDescriptorProto.Type
_MESSAGES = {  # message: its fields as (name, number, type or message, repeated)
    "BytesList": [("value", 1, _BYTES, True)],
    "FloatList": [("value", 1, _FLOAT, True)],
    "Int64List": [("value", 1, _INT64, True)],
    "Feature": [
        ("bytes_list", 1, "BytesList", False),
        ("float_list", 2, "FloatList", False),
        ("int64_list", 3, "Int64List", False),
    ],
    "Entry": [("key", 1, _STRING, False), ("value", 2, "Feature", False)],  # of the map from names to features
    "Features": [("feature", 1, "Entry", True)],
    "Example": [("features", 1, "Features", False)],
}


def features_of(record: bytes) -> dict[str, list]:
    """The values of each feature of a record: bytes, floats or whole numbers. ValueError if it is no Example."""
    example = _example()()
    try:
        example.ParseFromString(record)
    except DecodeError as error:
        raise ValueError(str(error)) from None
    found = {}
    for entry in example.features.feature:
        feature = entry.value
        found[entry.key] = next(
            (
                list(values.value)
                for values in (feature.bytes_list, feature.int64_list, feature.float_list)
                if values.value
            ),
            [],
        )
    return found


@cache
def _example() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="keras_cnn_example.proto", package=_PACKAGE, syntax="proto3")
    for title, fields in _MESSAGES.items():
        message = file.message_type.add(name=title)
        for name, number, kind, repeated in fields:
            field: Any = message.field.add(name=name, number=number, label=3 if repeated else 1)
            field.type = _MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                field.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))
