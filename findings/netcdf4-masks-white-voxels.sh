#!/usr/bin/env bash
# netCDF4 masks the voxels of 255 in a uint8 image that has no fill value.
#
# Guess: without a _FillValue attribute every stored number is data, the more so for bytes, of which all 256 are in
#   use.
# Seen: the library's default fill value of each type is masked: 255 of uint8, 65535 of uint16, and mean() leaves them
#   out. h5netcdf and xarray read the same file whole.
# Versions: netCDF4 1.7.5.1.post1, h5netcdf 1.8.2, h5py 3.16.0, numpy 2.4.6; Python 3.11.
# Prints: stored [255, 1, 2, 0] - netCDF4 reads [-- 1 2 0] with the mean 1.0 - h5netcdf [255, 1, 2, 0]
# Why it matters: saturated voxels of an EM image drop out of every statistic, and become holes or zeros when the mask
#   is filled.
# Source: netcdf4-python documentation of set_auto_mask and default_fillvals.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'netCDF4==1.7.5.1.post1' 'h5netcdf==1.8.2' 'h5py==3.16.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import h5netcdf
import netCDF4
import numpy as np

image = np.array([255, 1, 2, 0], np.uint8)
with netCDF4.Dataset("image.nc", "w") as file:
    file.createDimension("x", 4)
    file.createVariable("image", "u1", ("x",))[:] = image
with netCDF4.Dataset("image.nc") as file:
    assert "_FillValue" not in file["image"].ncattrs()
    masked = file["image"][:]
with h5netcdf.File("image.nc") as file:
    whole = file["image"][:]
assert np.ma.getmaskarray(masked).tolist() == [True, False, False, False]
assert masked.mean() == 1.0 and whole.tolist() == image.tolist()
print("stored", image.tolist(), "- netCDF4 reads", masked, "with the mean", masked.mean(), "- h5netcdf", whole.tolist())
PYTHON
