#!/usr/bin/env bash
# pandas.read_json turns the numbers of columns named exposure_time or cut_at into dates of 1971.
#
# Guess: JSON has no dates, so numbers stay numbers and at most strings in ISO form become dates.
# Seen: columns whose names end in _at or _time, begin with timestamp, or are modified or date, are converted when
#   their numbers are above 31,536,000.
# Versions: pandas 3.1.1, numpy 2.4.6; Python 3.11.
# Prints: 40000000 as exposure_time: 1971-04-08 23:06:40, as exposure: 40000000; 40000 as exposure_time: 40000
# Why it matters: dwell times in nanoseconds or positions in micrometres turn into dates, and only in files where all
#   of them are large.
# Source: pandas documentation of read_json (convert_dates, keep_default_dates).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pandas==3.1.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import io

import pandas as pd

table = pd.DataFrame({"exposure_time": [40_000_000, 41_000_000], "cut_at": [50_000_000, 50_000_040],
                      "exposure": [40_000_000, 41_000_000]})
back = pd.read_json(io.StringIO(table.to_json()))
kinds = {name: str(kind).split("[")[0] for name, kind in back.dtypes.items()}
assert kinds == {"exposure_time": "datetime64", "cut_at": "datetime64", "exposure": "int64"}, kinds
assert back.exposure_time[0].year == 1971
small = pd.read_json(io.StringIO((table // 1000).to_json()))
assert set(map(str, small.dtypes)) == {"int64"}
print(f"40000000 as exposure_time: {back.exposure_time[0]}, as exposure: {back.exposure[0]};",
      f"40000 as exposure_time: {small.exposure_time[0]}")
PYTHON
