"""`fanmesh init DIR`: two files that run as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from fanmesh.cli.ends import Exit, Output, Stop
from fanmesh.cli.say import document

CONFIG: Final = """\
version: 1
workers: {hello: {target: "localhost:50051", effect: read}, slow: {target: "localhost:50052", effect: read}}
plans:
  greet: {budget: {latency: 1s}, branches: {hello: {required: true}, slow: {soft_timeout: 200ms}}}
# What `fanmesh dev` starts, and restarts when you save:
dev: {hello: "hello:hello", slow: "hello:slow"}
"""

WORKERS: Final = '''\
"""Two workers. `fanmesh dev` serves them; `fanmesh call greet -d '{"name": "Ada"}'` asks both at once."""

import asyncio
from dataclasses import dataclass

from fanmesh.workers import Fault, worker


@dataclass
class Person:
    name: str = ""


@worker("hello")
async def hello(person: Person) -> dict[str, str]:
    if not person.name:
        raise Fault.invalid_argument("name: missing")
    return {"text": f"Hi {person.name}"}


@worker("slow")
async def slow(person: Person) -> dict[str, str]:
    await asyncio.sleep(5)  # longer than anybody waits: the plan goes on without it
    return {"text": f"Good morning, {person.name}, and how are you today?"}
'''

FILES: Final = {"fanmesh.yaml": CONFIG, "hello.py": WORKERS}


def init(directory: Annotated[Path, Parameter(name="DIR")], /, *, output: Output = "text") -> int:
    """Write a small project that runs: fanmesh.yaml and hello.py with two workers.

    Overwrites nothing.

    Args:
        directory: Where; made if it is not there.
        output: Text, or one JSON document.
    """
    if there := [name for name in FILES if (directory / name).exists()]:
        raise Stop(f"{directory / there[0]} exists, and is not overwritten", "choose another directory", Exit.USAGE)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Stop(f"cannot write to {directory}: {error.strerror}", "choose a directory that you may write to") from error
    if output == "json":
        document({"directory": str(directory), "files": list(FILES)})
    else:
        print(f"wrote {directory}/fanmesh.yaml and {directory}/hello.py; next:\n")
        print(f"  cd {directory}\n  fanmesh dev\n")
        print('and in another terminal:\n\n  fanmesh call greet -d \'{"name":"Ada"}\'')
    return Exit.OK
