#!/usr/bin/env bash
# PyYAML reads 1e-4, 1e4 and 1.0e4 as strings.
#
# Guess: numbers in scientific notation are floats, as in JSON and in the YAML that Kubernetes reads.
# Seen: YAML 1.1 wants a dot and a signed exponent: 1.0e-4 and 1.0e+4 are floats, 1e-4, 1e4 and even 1.0e4 are
#   strings. ruamel.yaml (YAML 1.2) reads all as floats.
# Versions: PyYAML 6.0.4, ruamel.yaml 0.19.1; Python 3.11.
# Prints: PyYAML: {'1e-4': 'str', '1e4': 'str', '1.0e4': 'str', '1.0e-4': 'float', '1.0e+4': 'float'} - ruamel.yaml:
#   all float
# Why it matters: a learning rate of 1e-4 or a volume of 1.0e4 cubic micrometres means one thing to the workflow
#   engine and another to the program that loads the same file.
# Source: YAML 1.1 float type; PyYAML issue 173.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'PyYAML==6.0.4' 'ruamel.yaml==0.19.1'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import yaml
from ruamel.yaml import YAML

words = ["1e-4", "1e4", "1.0e4", "1.0e-4", "1.0e+4"]
old = [type(yaml.safe_load(word)).__name__ for word in words]
new = [type(YAML(typ="safe").load(word)).__name__ for word in words]
assert old == ["str", "str", "str", "float", "float"], old
assert new == ["float"] * 5, new
print("PyYAML:", dict(zip(words, old)), "- ruamel.yaml: all float")
PYTHON
