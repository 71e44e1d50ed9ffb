"""A configuration proposed from the data: what a person would otherwise have to know before a first study.

Read in this order: `fingerprint` (what the files hold), `classes` (what is to be told apart), `parts` (train,
validation, test), `propose` (network and steps that fit the time, by `costs`), `written` (YAML that says why). Files
are read by `fingerprint` alone; the machine's speed is measured by `speed` alone; all else decides from plain data.
"""
