#!/usr/bin/env bash
# PyYAML reads a voxel size of 8:8:40 as 29320 and section numbers 007 and 010 as 7 and 8, but 008 as text.
#
# Guess: words with colons are strings; zero-padded numbers are either all strings or all decimal numbers.
# Seen: colons make a number to base 60 (8 * 3600 + 8 * 60 + 40), a leading zero an octal number, unless it has a
#   digit 8 or 9, which makes it a string. ruamel.yaml (YAML 1.2) keeps 8:8:40 a string and reads 010 as 10.
# Versions: PyYAML 6.0.4, ruamel.yaml 0.19.1; Python 3.11.
# Prints: PyYAML: [29320, 7, '008', 8] - ruamel.yaml: ['8:8:40', 7, 8, 10]
# Why it matters: ratios, aspect 1:1:10, and lists of bad sections written with leading zeros are common in
#   acquisition notes; sections 010 to 017 become 8 to 15.
# Source: YAML 1.1 integer type (base 60 and base 8), dropped in YAML 1.2.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'PyYAML==6.0.4' 'ruamel.yaml==0.19.1'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import yaml
from ruamel.yaml import YAML

words = ["8:8:40", "007", "008", "010"]
old = [yaml.safe_load(word) for word in words]
new = [YAML(typ="safe").load(word) for word in words]
assert old == [29320, 7, "008", 8], old
assert new == ["8:8:40", 7, 8, 10], new
print("PyYAML:", old, "- ruamel.yaml:", new)
PYTHON
