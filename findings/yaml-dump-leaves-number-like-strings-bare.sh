#!/usr/bin/env bash
# PyYAML writes the strings "1e6" and "08" without quotes, so that readers of YAML 1.2 find numbers.
#
# Guess: safe_dump quotes every string that could be read as something else; what it writes as a string is a string
#   for every YAML reader.
# Seen: it quotes what its own rules of YAML 1.1 would misread ("12", "on", "8:8:40") and leaves 1e6, 1.5e3, 25921e05,
#   0o14 and 08 bare: ruamel.yaml, and likewise readers in Go and Rust, get numbers.
# Versions: PyYAML 6.0.4, ruamel.yaml 0.19.1; Python 3.11.
# Prints: strings that another reader takes for numbers: {'1e6': 1000000.0, '1.5e3': 1500.0, '25921e05': 2592100000.0,
#   '0o14': 12, '08': 8}
# Why it matters: a hash of a configuration, a commit or a section number passed as a string parameter to Kubernetes
#   or Argo is refused as a number, or changed: 25921e05 becomes 2592100000.
# Source: PyYAML issue 860, open since 2025.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'PyYAML==6.0.4' 'ruamel.yaml==0.19.1'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import yaml
from ruamel.yaml import YAML

strings = ["12", "on", "8:8:40", "1e6", "1.5e3", "25921e05", "0o14", "08"]
text = yaml.safe_dump(strings)
assert yaml.safe_load(text) == strings
elsewhere = YAML(typ="safe").load(text)
changed = {old: new for old, new in zip(strings, elsewhere) if new != old}
assert changed == {"1e6": 1e6, "1.5e3": 1500.0, "25921e05": 2592100000.0, "0o14": 12, "08": 8}, changed
assert all("'" in line for line in text.splitlines()[:3])
print("strings that another reader takes for numbers:", changed)
PYTHON
