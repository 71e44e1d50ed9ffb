"""Writing volumes, or parts of them, for other programs: `files` are single files, `folders` are many."""
