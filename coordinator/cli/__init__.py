"""The command line: ``datamask``."""

from __future__ import annotations

import inspect
import logging
import signal
import sys
from types import FrameType
from typing import NoReturn

import typer
from rich.console import Console

from coordinator.cli.breed import breed
from coordinator.cli.calibrate import calibrate
from coordinator.cli.cite import cite
from coordinator.cli.compare import compare
from coordinator.cli.doctor import doctor
from coordinator.cli.evolve import evolve
from coordinator.cli.exhibit import exhibit
from coordinator.cli.figures import figures
from coordinator.cli.gallery import gallery
from coordinator.cli.gaze import gaze
from coordinator.cli.look import look
from coordinator.cli.mesh import mesh
from coordinator.cli.models import models
from coordinator.cli.photograph import photograph
from coordinator.cli.print import print_
from coordinator.cli.pull import pull
from coordinator.cli.raters import raters
from coordinator.cli.show import show
from coordinator.cli.terminal import prepare
from coordinator.cli.verify import verify
from coordinator.cli.watch import watch
from coordinator.cli.worker import worker
from services.errors import BadInput, DatamaskError
from services.faults import is_machines, said

app = typer.Typer(
    name="datamask",
    help="Evolve 3D-printable face masks that satisfy face-recognition machines, to show what they look for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    *(evolve, breed, show, watch, verify, gaze, print_, exhibit, pull, mesh),
    *(gallery, compare, figures, cite, raters),
    *(look, photograph, models, calibrate, doctor, worker),
)
for command in COMMANDS:
    purpose = (inspect.getdoc(command) or "").partition("\n\n")[0]
    app.command(command.__name__.rstrip("_"), short_help=purpose)(command)

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line; every error that a user can cause is one line and an exit code."""
    prepare()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _terminate)
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        app(standalone_mode=True)
    except BadInput as error:
        errors.print(f"datamask: {error}", markup=False, style="red")
        sys.exit(2)
    except DatamaskError as error:
        words = "; ".join([f"{error}", *getattr(error, "__notes__", ())])
        errors.print(f"datamask: {words}", markup=False, style="red")
        sys.exit(1)
    except MemoryError:
        errors.print(
            "datamask: out of memory; lower [search] population, [views] count or size_px", style="red"
        )
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("datamask: interrupted", style="yellow")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not is_machines(error):
            raise  # a fault of ours: its traceback is for the report
        errors.print(f"datamask: this machine cannot do it ({said(error)})", markup=False, style="red")
        sys.exit(1)
    sys.exit(0)


def _terminate(signum: int, frame: FrameType | None) -> None:
    """A polite stop (``docker stop``, ``kill``) is an interruption like Ctrl-C."""
    raise KeyboardInterrupt
