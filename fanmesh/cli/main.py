"""The verbs by name, and what their endings mean to a shell."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from typing import Final, NoReturn

from cyclopts import App
from cyclopts.exceptions import CycloptsError, UnusedCliTokensError

from fanmesh.cli.ends import TRACEPARENTS, Exit, Stop, invalid
from fanmesh.cli.verbs import VERBS
from fanmesh.runtime import environ
from fanmesh.runtime.environ import BadVariable

HELP: Final = """One request in, many gRPC services called at once, one merged answer out: on time, and honest about what is
missing.

Exit codes: 0 ok · 1 failed · 2 usage · 3 partial (an answer, and something is missing).

Begin with: fanmesh init hello && cd hello && fanmesh dev
"""

OPTIONAL_VALUES: Final = {
    "--stream": (re.compile("snapshot|branches"), "snapshot", '"snapshot", "branches"'),
    "--traceparent": (re.compile("new|[0-9a-f]{2}-.*"), "new", TRACEPARENTS),
}
"""Options that may stand alone, what their value looks like, the value they have then, and what there is to choose from."""


UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a disk says that takes no more; verbs that write files say it themselves."""


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed  # noqa: PLC0415  (asked for once in a hundred runs)

    return f"fanmesh {installed('fanmesh')}"


def app() -> App:
    """The command line. Its verbs are imported when they are used."""
    made = App(name="fanmesh", help=HELP, help_format="plaintext", version=version, result_action="return_value")
    for position, (verb, text) in enumerate(VERBS.items()):
        made.command(f"fanmesh.cli.{verb}:{verb}", name=verb, help=text.help(), sort_key=position)
    return made


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code. Prints, and never raises for what a user can do."""
    json = wants_json(arguments)
    try:
        _known(arguments)
        code = app()(complete(arguments), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        verb = next((word for word in arguments if word in VERBS), "")
        meant = _no_value(arguments) if isinstance(error, UnusedCliTokensError) else ""
        return _say(Stop(meant or str(error).strip(), f"see `fanmesh {f'{verb} --help'.strip()}`", Exit.USAGE), json=json)
    except Stop as stop:
        return _say(stop, json=json)
    except BadVariable as error:
        return _say(Stop(str(error), "set it to that, or unset it", Exit.USAGE), json=json)
    except BrokenPipeError:  # whoever read us has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it would fail again at exit
        print(f"fanmesh: the output cannot be written: {error.strerror}", file=sys.stderr)
        return Exit.FAILED
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else Exit.OK


def _known(arguments: Sequence[str]) -> None:
    """Refuse an unknown verb ourselves: the library would import every verb to find the nearest one."""
    if arguments and not arguments[0].startswith("-") and arguments[0] not in VERBS:
        from difflib import get_close_matches  # noqa: PLC0415  (errors are rare)

        near = get_close_matches(arguments[0], VERBS, n=1)
        hint = f"did you mean `fanmesh {near[0]}`?" if near else f"there are: {', '.join(VERBS)}"
        raise Stop(f"there is no verb {arguments[0]!r}", hint, Exit.USAGE)


def complete(arguments: Sequence[str]) -> list[str]:
    """Give options that stand alone their value: `call p --stream -d x` → `call p --stream snapshot -d x`."""
    out: list[str] = []
    for position, word in enumerate(arguments):
        out.append(word)
        if word in OPTIONAL_VALUES:
            looks, alone, _ = OPTIONAL_VALUES[word]
            following = arguments[position + 1] if position + 1 < len(arguments) else ""
            if not looks.fullmatch(following):
                out.append(alone)
    return out


def _no_value(arguments: Sequence[str]) -> str:
    """What to say of a command line with a word too many, if that may have been meant as the value of such an option."""
    for word, following in pairwise(arguments):
        looks, _, choices = OPTIONAL_VALUES.get(word, (None, "", ""))
        if looks is not None and not following.startswith("-") and not looks.fullmatch(following):
            return invalid(following, word, choices)
    return ""


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether `-o json` is given, also on a command line that cannot be read: its error must be JSON, too."""
    pairs = zip_longest(arguments, arguments[1:], fillvalue="")
    whole = {"--output=json", "-o=json", "-ojson"}
    return any(word in whole or (word in {"-o", "--output"} and value == "json") for word, value in pairs)


def _say(stop: Stop, *, json: bool) -> int:
    if json:
        from fanmesh.cli.say import document  # noqa: PLC0415  (errors are rare)

        hint = {"hint": stop.hint} if stop.hint else {}
        document({"ok": False, "error": {"message": stop.message, **hint, **stop.more, "exit": int(stop.code)}})
    else:
        print(f"fanmesh: {stop.message}", file=sys.stderr)
        if stop.hint:
            print(f"  → {stop.hint}", file=sys.stderr)
    return stop.code


def main() -> NoReturn:
    """The console script."""
    environ.unless_set("GRPC_VERBOSITY", "ERROR")  # its core mentions each peer that says goodbye
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="replace")  # a terminal without block elements must not end a call with a traceback
    sys.exit(run(sys.argv[1:]))
