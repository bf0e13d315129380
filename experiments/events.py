"""TensorBoard's event files: each event is a protocol buffer in a record with checksums.

tensorboardX would write them, but its import brings torch with it where torch is installed: a
second and 200 MB of a run that needs neither.
"""

from collections.abc import Mapping
import struct
from typing import Any

import numpy as np

# {name of a field: (its number, its type)}; a type that is a mapping is that of a message.
_IMAGE = {
    "height": (1, "integer"),
    "width": (2, "integer"),
    "colorspace": (3, "integer"),
    "encoded_image_string": (4, "bytes"),
}
_TENSOR = {"dtype": (1, "integer"), "tensor_shape": (2, {}), "string_val": (8, "bytes")}
_VALUE = {
    "tag": (1, "bytes"),
    "simple_value": (2, "float"),
    "image": (4, _IMAGE),
    "tensor": (8, _TENSOR),
    "metadata": (9, {"plugin_data": (1, {"plugin_name": (1, "bytes")})}),
}
_EVENT = {
    "wall_time": (1, "double"),
    "step": (2, "integer"),
    "file_version": (3, "bytes"),
    "summary": (5, {"value": (1, _VALUE)}),
    "session_log": (7, {"status": (1, "integer")}),
}


def record(event: Mapping[str, Any]) -> bytes:
    """Return an event as it stands in the file: length and content, a checksum after each.

    Args:
      event: {field: value} by the names of TensorFlow's event.proto; a list is a repeated field.

    Raises:
      KeyError: a field that no event written here has.
    """
    content = _encode(event, _EVENT)
    parts = struct.pack("<Q", len(content)), content
    return b"".join(part + struct.pack("<I", masked_crc32c(part)) for part in parts)


def _encode(message, fields):
    parts = []
    for name, value in message.items():
        number, kind = fields[name]
        for each in value if isinstance(value, list) else [value]:
            parts.append(_encode_field(number, kind, each))
    return b"".join(parts)


def _encode_field(number, kind, value):
    if kind == "integer":
        return _varint(number << 3) + _varint(value)
    if kind == "double":
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    if kind == "float":
        with np.errstate(over="ignore"):  # a float64 run may have numbers that no float32 holds
            return _varint(number << 3 | 5) + np.asarray(value, "<f4").tobytes()
    content = value.encode() if isinstance(value, str) else value
    content = content if kind == "bytes" else _encode(content, kind)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value):
    # Seven bits a byte, the lowest first; the top bit tells that more follow.
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])


def _crc_of_byte(value):
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC_TABLE = [_crc_of_byte(value) for value in range(256)]


def masked_crc32c(content: bytes) -> int:
    """Return the checksum of the records: the Castagnoli CRC, turned and shifted."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
