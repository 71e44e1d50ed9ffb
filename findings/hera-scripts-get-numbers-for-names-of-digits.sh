#!/usr/bin/env bash
# A Hera script whose parameter is declared str gets the number 12 for the name "12", and None for "null".
#
# Guess: with name: str the function gets a string, as it does when called in Python.
# Seen: the source that Hera writes into the workflow reads every parameter as JSON and keeps the text only where that
#   fails: the annotation has no part in it. "0012" stays text, "12" is an int, "1e3" a float, "true" a bool.
# Versions: hera 7.1.0; Python 3.11.
# Prints: "0012" str 0012 - "12" int 12 - "1e3" float 1000.0 - "true" bool True - "null" NoneType None
# Why it matters: blocks, samples and commits are named by digits: a path made of the name fails or is another one
#   ("1e3" is 1000.0) for some names and not for others.
# Source: the script template that Hera 7.1.0 generates ("try: name = json.loads(...)").
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'hera==7.1.0'
cd "$work"
cat > workflow.py <<'PYTHON'  # a file, because Hera reads the source of the function from it
import contextlib
import io

from hera.workflows import Steps, Workflow, script

@script()
def say(name: str):
    print(type(name).__name__, name)

with Workflow(generate_name="say-", entrypoint="steps") as workflow, Steps(name="steps"):
    say(arguments={"name": "any"})
source = next(t["script"]["source"] for t in workflow.to_dict()["spec"]["templates"] if "script" in t)

found = {}
for name in ("0012", "12", "1e3", "true", "null"):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):  # Argo fills the parameter in and runs the source
        exec(source.replace("{{inputs.parameters.name}}", name), {})
    found[name] = out.getvalue().strip()
kinds = [line.split()[0] for line in found.values()]
assert kinds == ["str", "int", "float", "bool", "NoneType"], found
print(" - ".join(f'"{name}" {line}' for name, line in found.items()))
PYTHON
"$work/venv/bin/python" workflow.py
