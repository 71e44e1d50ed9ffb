#!/usr/bin/env bash
# Pillow reads the labels 1, 2 and 15 of a 4-bit PNG as 17, 34 and 255.
#
# Guess: fewer bits are only packed more tightly: the numbers 0 to 15 are read as they are.
# Seen: grey levels of 2 and 4 bits are stretched to 0..255, times 85 and 17; with 1 bit they are booleans.
# Versions: pillow 13.0.0; Python 3.11.
# Prints: labels 0 1 2 15: 4 bits 0 17 34 255 - labels 0 1 2 3: 2 bits 0 85 170 255
# Why it matters: PNG writers that save space store a mask of few classes with 2 or 4 bits: class 1 is then class 17
#   or 85.
# Source: PNG specification, sample depth scaling; behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pillow==13.0.0'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import io
import struct
import zlib

from PIL import Image

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def read(bits, row):
    head = struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"\0" + row)), chunk(b"IEND", b"")]
    return list(Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(parts))).convert("L").tobytes())

four, two = read(4, bytes([0x01, 0x2F])), read(2, bytes([0b00011011]))
assert four == [0, 17, 34, 255] and two == [0, 85, 170, 255], (four, two)
print("labels 0 1 2 15: 4 bits", *four, "- labels 0 1 2 3: 2 bits", *two)
PYTHON
