"""What `--help` says of each verb: one line, and lines to copy.

Here and not in the verbs' docstrings, so that the list of verbs is printed without importing one of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Verb(NamedTuple):
    """`about` is the line in the list; `more` what follows it in the verb's own help."""

    about: str
    examples: tuple[str, ...]
    more: str = ""

    def help(self) -> str:
        """The verb's own help."""
        shown = "\n".join(f"  {example}" for example in self.examples)
        return "\n\n".join(filter(None, (self.about, self.more, f"Like this:\n\n{shown}")))


VERBS: Final = {
    "init": Verb("Write a small project that runs.", ("fanmesh init hello && cd hello && fanmesh dev",)),
    "dev": Verb(
        "Run a whole project here: workers and dispatcher, restarted on save.",
        ("fanmesh dev", 'fanmesh dev fanmesh.yaml --behaviour "slow:hang" --seed 7'),
        "Starts what the section `dev:` names, one process per address, and a dispatcher; reloads when a file changes. "
        "An invalid configuration changes nothing and says why. Ctrl-C ends everything.",
    ),
    "serve": Verb(
        "Run the dispatcher.",
        ("fanmesh serve fanmesh.yaml", "fanmesh serve fanmesh.yaml --listen 127.0.0.1:0 -o json"),
        "Serves until SIGTERM or Ctrl-C, then lets running requests end. Reloads when the file changes.",
    ),
    "aggregate": Verb("Run the aggregator as a service of its own.", ("fanmesh aggregate --listen 127.0.0.1:50060",)),
    "worker": Verb(
        "Run Python functions as a gRPC worker.",
        (
            "fanmesh worker hello:hello --listen 127.0.0.1:50051",
            'fanmesh worker shop.geo:geo shop.tax:tax --behaviour "geo:delay=20ms;hang@5%"',
        ),
        "Modules are found in the current directory. A module's function `warm()`, if it has one, runs before the worker says "
        "that it serves.",
    ),
    "check": Verb("Say everything that is wrong with a configuration.", ("fanmesh check fanmesh.yaml",)),
    "explain": Verb(
        "Say what would run for a request, without calling a worker.",
        (
            "fanmesh explain greet --config fanmesh.yaml",
            'fanmesh explain greet --server 127.0.0.1:50050 -d \'{"name":"Ada"}\' --attr tenant=acme',
            "fanmesh explain greet --config fanmesh.yaml --graph svg > greet.svg",
        ),
    ),
    "call": Verb(
        "Send one request and draw what happened.",
        (
            'fanmesh call greet -d \'{"name":"Ada"}\'',
            "fanmesh call greet -d @ada.json --timeout 300ms --stream branches",
            'fanmesh call greet -d \'{"name":"Ada"}\' --repeat 200',
            'echo \'{"name":"Ada"}\' | fanmesh call greet -d - -o json',
        ),
        "Without a plan the routes choose. Exit code: 0 everything answered, 3 an answer with something missing, 1 none.",
    ),
    "schema": Verb("Print the JSON Schema of fanmesh.yaml, for editors.", ("fanmesh schema > fanmesh.schema.json",)),
}
