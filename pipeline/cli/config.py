"""The commands about configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Write, explain and check configurations.", no_args_is_help=True)


@app.command(epilog="vemseg config example > study.yaml")
def example(name: Annotated[str, typer.Argument(help="small, phantom, demo, objects or sections")] = "small") -> None:
    """Print a configuration to start from."""
    from pipeline.config.examples import example_text

    print(example_text(name), end="")


@app.command(epilog="vemseg config schema > study.schema.json")
def schema() -> None:
    """Print the JSON schema, for editors that complete and check as one types."""
    from pipeline.config.model import schema_json

    print(schema_json())


@app.command(epilog="vemseg config check study.yaml")
def check(
    path: Annotated[Path, typer.Argument(help="Configuration file")],
    offline: Annotated[bool, typer.Option("--offline", help="Leave out what only the files can tell")] = False,
) -> None:
    """Check a configuration and the files that it names: what is wrong, and at which line; exits with 2 if anything."""
    from pipeline.config.model import load_config

    if offline:
        config = load_config(path)
        captures = ", ".join(capture.name for capture in config.data.captures)
        print(f"{path} is valid. Captures: {captures} (their files were not looked at)")
    else:
        from pipeline.run.check import check as check_files

        checked = check_files(str(path))
        config = checked.config
        for line in checked.lines:
            print(line)
        for doubt in checked.doubts:
            print(f"look at this: {doubt}")
        print(f"{path} is valid, and its files fit")
    print(f"Networks: {', '.join(config.targets)}")


@app.command(epilog="vemseg config reference > configuration.md")
def reference() -> None:
    """Print all fields with their meanings and defaults, as Markdown."""
    from pipeline.config.reference import markdown

    print(markdown(), end="")
