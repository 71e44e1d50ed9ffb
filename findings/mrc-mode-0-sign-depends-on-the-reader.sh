#!/usr/bin/env bash
# Three readers give three answers on whether the bytes of an MRC file of mode 0 are signed.
#
# Guess: the sign is in the file: signed by the MRC2014 standard, or unsigned where the IMOD stamp says so; all
#   readers agree.
# Seen: mrcfile always says int8, whatever the IMOD stamp says; rosettasciio always says uint8; ITK looks at the
#   minimum and maximum in the header and says one or the other, and itself writes uint8 as mode 0, which mrcfile then
#   reads as negative numbers.
# Versions: mrcfile 1.5.4, rosettasciio 0.15.0, SimpleITK 2.5.7, numpy 2.4.6; Python 3.11.
# Prints: stamped unsigned: int8 uint8, ITK signed; 200 written by ITK: int8 uint8, ITK unsigned
# Why it matters: a white voxel of 200 becomes -56 and membranes become brighter than cytoplasm, in a file that opens
#   without a warning.
# Source: mrcfile issue 69; ITK pull request 2088; IMOD's description of the MRC format (imodStamp, imodFlags).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'mrcfile==1.5.4' 'rosettasciio==0.15.0' 'SimpleITK==2.5.7' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import struct
import warnings

import mrcfile
import numpy as np
import SimpleITK as sitk
from rsciio.mrc import file_reader

warnings.simplefilter("ignore")

def readers(path):
    return (
        str(mrcfile.read(path).dtype),
        str(file_reader(path)[0]["data"].dtype),
        sitk.ReadImage(path).GetPixelIDTypeAsString(),
    )

with mrcfile.new("unstamped.mrc") as mrc:
    mrc.set_data(np.full((2, 3, 4), -56, np.int8))
header = bytearray(open("unstamped.mrc", "rb").read())
header[152:160] = struct.pack("<ii", 1146047817, 0)  # IMOD's stamp with the flag for signed bytes off
open("unsigned.mrc", "wb").write(header)
sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 3, 4), 200, np.uint8)), "itk.mrc")

signed, unsigned = "8-bit signed integer", "8-bit unsigned integer"
assert readers("unstamped.mrc") == ("int8", "uint8", signed)
assert readers("unsigned.mrc") == ("int8", "uint8", signed)
assert readers("itk.mrc") == ("int8", "uint8", unsigned)
assert mrcfile.read("itk.mrc").max() == -56
both = " ".join(readers("unsigned.mrc")[:2])
print(f"stamped unsigned: {both}, ITK signed; 200 written by ITK: {both}, ITK unsigned")
PYTHON
