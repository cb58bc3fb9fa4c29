"""The program `flowhft`: finds the command, runs it, and turns whatever happens into a line and an exit code.

0  done            2  usage or configuration     4    a required result was not reached
1  unexpected      3  bad data, or no disk       130  interrupted
"""

import contextlib
import errno
import importlib
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from flowhft import __version__
from flowhft.cli.terminal import Terminal
from flowhft.errors import BarMissedError, DataError, FlowhftError, UnknownNameError
from flowhft.runs import lock

# name: (module, class, one line for people). A module is imported only when its command is asked for.
COMMANDS = {
    "demo": ("flowhft.cli.demo", "Demo", "the whole story on the bundled recording, in minutes"),
    "data check": (
        "flowhft.cli.data",
        "DataCheck",
        "read a recording, and say what is in it and what is wrong",
    ),
    "data convert": (
        "flowhft.cli.data",
        "DataConvert",
        "write a recording as one file: Parquet, or hftbacktest's npz",
    ),
    "calibrate": ("flowhft.cli.calibrate", "Calibrate", "fit a market to a recording, with error bars"),
    "label": (
        "flowhft.cli.label",
        "Label",
        "would orders have filled, and earned, at many prices: what policies learn from",
    ),
    "resemble": (
        "flowhft.cli.resemble",
        "Resemble",
        "lay a recording beside its simulated market, and say where they differ",
    ),
    "scenarios": (
        "flowhft.cli.scenarios",
        "Scenarios",
        "list the named markets, show what is in them, save them to a file",
    ),
    "simulate": ("flowhft.cli.simulate", "Simulate", "run a policy in a simulated market"),
    "select": (
        "flowhft.cli.select",
        "Select",
        "choose the best expert per scenario, and say where it is a tie",
    ),
    "tune": (
        "flowhft.cli.tune",
        "Tune",
        "tune an expert to each scenario: the fair control of learned policies",
    ),
    "demonstrate": ("flowhft.cli.demonstrate", "Demonstrate", "let experts quote, and keep what the best do"),
    "imitate": ("flowhft.cli.imitate", "Imitate", "train a flow policy on demonstrations"),
    "learn": (
        "flowhft.cli.learn",
        "Learn",
        "learn a maker that sees the order book from recordings",
    ),
    "teach": (
        "flowhft.cli.teach",
        "Teach",
        "let a maker that sees the order book show what it would quote on recordings",
    ),
    "distil": (
        "flowhft.cli.distil",
        "Distil",
        "teach a flow policy of many steps to answer in one",
    ),
    "ppo": ("flowhft.cli.ppo", "Ppo", "train agents that learn to quote by trial and error (PPO)"),
    "adapt": ("flowhft.cli.adapt", "Adapt", "fit a trained policy to one market, the policy itself frozen"),
    "train": (
        "flowhft.cli.train",
        "Train",
        "train the network that adapts a frozen policy to whatever market it senses",
    ),
    "evaluate": (
        "flowhft.cli.evaluate",
        "Evaluate",
        "judge policies in simulation, on the same random numbers",
    ),
    "frontier": (
        "flowhft.cli.frontier",
        "Frontier",
        "the exact optimum at every risk aversion, and policies beside it",
    ),
    "backtest": (
        "flowhft.cli.backtest",
        "Backtest",
        "judge policies on a recording, with queues and latency",
    ),
    "reproduce paper": (
        "flowhft.cli.reproduce",
        "ReproducePaper",
        "the FlowHFT paper's tables against ours, and what its errors were worth",
    ),
    "reproduce learned": (
        "flowhft.cli.learned",
        "ReproduceLearned",
        "what the shipped policy is worth: every cell, every rival, ablations",
    ),
    "reproduce real": (
        "flowhft.cli.real",
        "ReproduceReal",
        "every policy on every recording of a folder, learned on its first part",
    ),
    "reproduce book": (
        "flowhft.cli.book",
        "ReproduceBook",
        "makers that see the order book, on every recording of a folder",
    ),
    "freeze": ("flowhft.cli.freeze", "Freeze", "turn a policy into plain arrays that quote in microseconds"),
    "export": ("flowhft.cli.export", "Export", "turn a flow policy into an ONNX file for other runtimes"),
    "bench latency": (
        "flowhft.cli.bench",
        "BenchLatency",
        "measure how long a policy takes to decide, beside a C kernel of its size",
    ),
    "report": ("flowhft.cli.report", "Report", "make one page out of a run folder"),
    "info": ("flowhft.cli.info", "Info", "tell about the installation, a run folder or a policy file"),
}

TRACEBACK = "FLOWHFT_TRACEBACK"  # environment variable: 1 shows where an unexpected error arose
PIPE_CLOSED = 128 + 13  # what shells report for a program that ended because nobody reads it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `flowhft` with these arguments, those of the process by default, and return the exit code."""
    terminal = Terminal()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a letter that the terminal lacks must not end a run
    try:
        with _interruptible(terminal):
            _run(sys.argv[1:] if arguments is None else arguments, terminal)
            sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        terminal.interrupted()
        return 130
    except BrokenPipeError:
        return PIPE_CLOSED
    except Exception as failure:
        if os.environ.get(TRACEBACK) == "1":
            traceback.print_exc()
        if isinstance(failure, FlowhftError):
            terminal.error(str(failure))
            return failure.exit_code
        if isinstance(failure, OSError):
            terminal.error(_os_error(failure))
            return DataError.exit_code
        text = f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
        terminal.error(f"{text}; run with {TRACEBACK}=1 for the traceback", kind="unexpected error")
        return FlowhftError.exit_code
    finally:
        lock.drop_all()  # whoever calls this as a function goes on
        _drop_unwritable_output()


def _run(arguments: Sequence[str], terminal: Terminal) -> None:
    """Do what the arguments ask.

    Raises:
        FlowhftError: it could not be done.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return
    if arguments[0] == "--version":
        print(f"flowhft {__version__}")
        return
    name, rest = _split(arguments)
    module, kind, _ = COMMANDS[name]
    from flowhft.cli.configuration import parse

    try:
        command: Any = parse(getattr(importlib.import_module(module), kind), rest, f"flowhft {name}")
    except SystemExit:  # help was asked for and is printed
        return
    terminal.quiet, terminal.json = command.quiet, command.json
    result = command.run(terminal)
    terminal.show(result.summary, result.shown)
    if result.missed:
        raise BarMissedError(" ".join(result.missed))


def _split(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the command's name, of one word or two, and what follows it."""
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return name, arguments[words:]
    if arguments[0].startswith("-"):
        raise UnknownNameError("option", arguments[0], ("--help", "--version"), "Options follow the command.")
    family = [name for name in COMMANDS if name.startswith(f"{arguments[0]} ")]
    asked = " ".join(arguments[:2]) if family else arguments[0]
    raise UnknownNameError("command", asked, family or COMMANDS, "See `flowhft --help`.")


def _help() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: flowhft COMMAND [OPTIONS]",
            "",
            "Quoting policies for market makers: learned from experts by flow matching,",
            "judged in simulation and on tick data.",
            "",
            *(f"  {name:<{width}}  {summary}" for name, (_, _, summary) in COMMANDS.items()),
            "",
            "`flowhft COMMAND --help` lists the options of a command. Begin with `flowhft demo`.",
        ]
    )


def _os_error(failure: OSError) -> str:
    name = f"`{failure.filename}`" if failure.filename is not None else "what is written"
    message = failure.strerror or str(failure)
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    # Libraries that write themselves tell it only in words.
    if failure.errno in full or re.search("no space left|quota exceeded|file too large", message.lower()):
        return (
            f"{name} must fit on the disk; received: {message}. Free some space and run the same command "
            "again."
        )
    if failure.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{name} must be open to you; received: {message}. Change its permissions or choose another path."
        )
    return f"{name} must be readable and writable; received: {message}."


@contextlib.contextmanager
def _interruptible(terminal: Terminal) -> Iterator[None]:
    """Let nothing swallow an interruption, and treat SIGTERM, which schedulers send, like Ctrl-C.

    Python drops an exception that is raised where it cannot spread: in a destructor, or in the callback with
    which jax joins the garbage collection. The terminal then remembers it. Only the main thread is asked.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def dropped(what: Any) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            terminal.stopping = True
        else:
            hook(what)

    hook, sys.unraisablehook = sys.unraisablehook, dropped
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.unraisablehook = hook


def _drop_unwritable_output() -> None:
    """Send what is buffered for a stdout that is gone or full nowhere: the interpreter's end trips on it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
