"""The command line: `unspoken COMMAND ...`.

Commands that only read or describe import no torch. Every refusal is one line on stderr and exit code 2; an interrupted
training exits with 130 after saying how to go on.

`runs.py` holds the commands about recipes and runs, `data.py` those about data, `arguments.py` what they share.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from unspoken.cli import data, runs
from unspoken.cli.arguments import PROGRAM, refuse
from unspoken.cli.ask import ask
from unspoken.cli.audit import audit
from unspoken.cli.claims import claims
from unspoken.cli.curves import curves
from unspoken.cli.doctor import doctor
from unspoken.cli.explore import explore
from unspoken.cli.import_ import import_
from unspoken.cli.imports import import_named
from unspoken.cli.pretrained import pretrained
from unspoken.cli.probe import probe
from unspoken.cli.push import push
from unspoken.cli.sweep import sweep
from unspoken.environment import version_of
from unspoken.signals import terminated_as_interrupted
from unspoken.suggest import nearest

COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "demo": runs.demo,
    "list": runs.list_,
    "show": runs.show,
    "train": runs.train,
    "eval": runs.eval_,
    "ask": ask,
    "table": runs.table,
    "claims": claims,
    "curves": curves,
    "sweep": sweep,
    "probe": probe,
    "audit": audit,
    "explore": explore,
    "import": import_,
    "push": push,
    "data": data.data,
    "pretrained": pretrained,
    "env": runs.env,
    "doctor": doctor,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exits with 0, 2 for anything refused, or 130 when interrupted."""
    try:
        args = import_named(sys.argv[1:] if arguments is None else arguments)
    except ValueError as error:
        refuse(str(error))
    if not args or args[0] in ("-h", "--help", "help"):
        print(_overview())
        return
    if args[0] in ("-V", "--version"):
        print(f"{PROGRAM} {version_of(PROGRAM) or '(not installed, from its sources)'}")
        return
    command = COMMANDS.get(args[0])
    if command is None:
        refuse(f"no command {args[0]!r}{nearest(args[0], COMMANDS)}; {PROGRAM} --help lists them")
    try:
        with terminated_as_interrupted():
            command(args[1:])
    except BrokenPipeError:
        # The reader, `head` say, has seen enough.
        sys.stderr.close()
        sys.exit(0)
    except ValueError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt as stop:
        # Whoever was interrupted may know what is left of its work.
        print(f"{PROGRAM}: interrupted" + (f"; {stop}" if str(stop) else ""), file=sys.stderr)
        sys.exit(130)


def _overview() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} [--import FILE.py] COMMAND ...",
            "",
            "Train, run, measure and audit language models that reason in continuous latent space.",
            "",
            *lines,
            "",
            f"{PROGRAM} COMMAND --help tells more. Classes of your own are known after --import FILE.py.",
        ]
    )
