"""How every command starts and ends: flags in, one sentence and an exit code when it fails."""

import contextlib
import difflib
import functools
import logging
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import jax
from absl import app, flags
from absl import logging as absl_logging

from gnp.errors import NotSavedError, SkippedError, TrainingError, UserError, reason
from gnp.main import config
from gnp.main.fields.described import nearest_fields
from gnp.main.start import xla
from gnp.main.start.exit_codes import Exit
from gnp.training.interrupt import Interrupted
from gnp.training.settings.checks import LARGEST_FLOAT, LARGEST_INT

_NO_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory")  # as JAX says it of GPUs and of CPUs


def run(
    main: Callable[..., None],
    define_flags: Callable[[], None],
    *,
    arguments: str = "",
    more_help: Callable[[], str] = lambda: "",
) -> None:
    """Parses the flags, calls `main` and exits.

    A command defines its flags in `define_flags`, so that they do not meet those of another command
    when both are imported.

    Bad input (a flag that cannot be parsed, a `UserError`) prints its sentence and exits with code
    2. Training that cannot continue says why and exits with code 3. A run that came to its end, but
    could not write all of its files, exits with code 4; one that lost another of its processes,
    with 5. A run that was asked to stop says so and exits with 128 + the signal's number. A command
    that has skipped a part of what it was given exits with code 1.

    Args:
      main: what the command does.
      define_flags: defines its flags.
      arguments: what `main` takes as a list, besides the flags, such as "IMAGE"; "": nothing.
      more_help: what --help says after the flags.
    """
    define(define_flags)

    def call(argv):
        _call(functools.partial(main, argv[1:]) if arguments else main)

    app.run(call, flags_parser=functools.partial(_parse_flags, arguments=arguments, more=more_help))


def define(define_flags: Callable[[], None]) -> None:
    """Defines the flags of a command, and those that all have."""
    config.define_flags()
    others = set(flags.FLAGS)
    define_flags()
    for name in set(flags.FLAGS) - others:  # whichever module defines it, --help shows it
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])


def _call(main):
    absl_logging.get_absl_handler().setLevel(logging.WARNING)  # the rest goes to the run's log
    logging.getLogger("gnp").setLevel(logging.WARNING)  # until a run's log is open
    _quieten_orbax()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    _keep_compiled_programs()
    xla.use_all_cores()
    try:
        _check_numbers()
        main()
        sys.stdout.flush()
    except UserError as error:
        _exit(error, Exit.BAD_INPUT)
    except TrainingError as error:
        _exit(error, Exit.TRAINING_FAILED)
    except SkippedError as error:
        _exit(error, Exit.SKIPPED)
    except NotSavedError as error:
        _exit(error, Exit.NOT_SAVED)
    except Interrupted as stop:
        _exit(stop, stop.code)
    except KeyboardInterrupt:
        _exit("Interrupted.", Exit.INTERRUPTED)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
            _exit(_without_memory(error), Exit.TRAINING_FAILED)
        if jax.process_count() == 1:
            raise
        _exit_at_once(
            f"Another process was lost, or failed ({reason(error)}); see its output. The same "
            "command resumes from the last checkpoint."
        )
    except BrokenPipeError:  # whoever read the output has ended
        _exit("", Exit.PIPE_CLOSED)
    except OSError as error:  # a disk or a file that no other sentence is about
        _exit(f"{error.filename or 'A file'}: {reason(error.strerror or error)}.", Exit.BAD_INPUT)


def _check_numbers():
    """Flags that are numbers, whatever they mean, must be finite and fit into 32 bits."""
    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        largest = LARGEST_INT if isinstance(value, int) else LARGEST_FLOAT
        if isinstance(value, int | float) and not abs(value) <= largest:
            raise UserError(f"--{name} is {value}; it must be at most {largest} in size.")


def _quieten_orbax():
    """What it raises is said in a sentence; it also logs that and more, with tracebacks."""

    def unraisable(error):
        if str(error.exc_value) != "Event loop is closed":
            sys.__unraisablehook__(error)

    absl_logging.set_verbosity(absl_logging.FATAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    sys.unraisablehook = unraisable


def _without_memory(error):
    return (
        f"There is not enough memory ({reason(error)}); choose a smaller batch_size, image or "
        "model, a larger gradient_accumulation_steps, or more devices."
    )


def _exit_at_once(message):
    """Exits without JAX's own end, which waits for the other processes."""
    print(message, file=sys.stderr, flush=True)
    os._exit(Exit.PROCESS_LOST)


def _keep_compiled_programs():
    """Lets the same job start faster the next time; JAX_COMPILATION_CACHE_DIR overrides where."""
    with contextlib.suppress(RuntimeError):  # a user without a home, as in some containers
        if jax.config.jax_compilation_cache_dir:
            return
        caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(caches, "gnp", "compiled")))


def _parse_flags(
    argv: Sequence[str], arguments: str = "", more: Callable[[], str] = lambda: ""
) -> list[str]:
    flags.FLAGS.set_gnu_getopt(bool(arguments))  # flags may come after arguments
    try:
        rest = flags.FLAGS(config.as_plain_flags(argv))
    except SystemExit:  # of --help, which absl lets fail
        print(more(), end="")
        sys.exit(0)
    except flags.UnrecognizedFlagError as error:
        _exit(_unknown_flag(error.flagname), Exit.BAD_INPUT)
    except Exception as error:  # absl's own flags raise more than flags.Error
        _exit(reason(error), Exit.BAD_INPUT)
    if len(rest) > 1 and not arguments:
        _exit(
            f"Unexpected argument {rest[1]!r}; arguments are flags, --name=value.", Exit.BAD_INPUT
        )
    return rest


def _unknown_flag(name):
    """A sentence with the flag, or else the fields, that may be meant."""
    name = reason(name)
    known = [flag for flag in flags.FLAGS if not flag.startswith("config_")]
    meant = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    meant = meant or [f"config.{field}" for field in nearest_fields(name, config.all_fields())]
    suggested = " or ".join(f"--{flag}" for flag in meant)
    advice = f"did you mean {suggested}?" if meant else "--help lists the flags."
    return f"Unknown flag --{name}; {advice}"


def _exit(message, code):
    for stream, text in ((sys.stdout, ""), (sys.stderr, f"{message}\n" if message else "")):
        try:
            stream.write(text)
            stream.flush()
        except OSError:  # Python would try once more at its end, and exit with a code of its own
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)
