"""All that is to be measured on an accelerator, in order of value, within a time limit.

python -m benchmark.accelerator --out=DIR [--minutes=30] [--data_dir=FOLDER] [--seeds=0]
    [--torch_python=PYTHON] [--small]

Runs each command of a list in a fresh process and appends a JSON line to DIR/rows.jsonl: the
command, how it ended, its seconds, and what it printed. What it says on standard error is in
DIR/logs. Called again, it goes to the first row that has not ended well, so that it can be given
its minutes in parts. A row that does not end in time is stopped; what it printed so far is kept,
and the next call starts it again. FOLDER holds CIFAR-10 as image files in class folders; without
it, the trainings on photographs are passed over, and a line says so. --small is the same list at
the size of a CPU, to try the script.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tqdm import tqdm

from benchmark import options
from benchmark.subprocess_case import describe_machine

ROWS_FILE = "rows.jsonl"
_MODELS = (
    "ViT_S16",
    "WideResNet_28_10",
    "ResNet50",
    "WideResNet_16_4",
    "ViT_TI16",
    "ResNet18",
    "Swin_Tiny_224",
)
_FLOAT32_MODELS = ("ViT_S16", "WideResNet_16_4")
_BATCH_SIZES = (64, 1024)  # beside the default of `benchmark.step`


class Row(NamedTuple):
    """A command.

    Attributes:
      name: in the results.
      minutes: after which it is stopped.
      command: what follows `python -m`.
    """

    name: str
    minutes: float
    command: tuple[str, ...]


def main(command_line: Sequence[str] | None = None) -> None:
    """Runs what is missing, as far as the time allows."""
    arguments = parse_arguments(command_line)
    end = time.monotonic() + 60 * arguments.minutes
    out = pathlib.Path(arguments.out)
    (out / "logs").mkdir(parents=True, exist_ok=True)
    done = _done(out / ROWS_FILE)
    missing = [row for row in rows(arguments, out) if row.name not in done]
    machine = describe_machine()
    if not arguments.data_dir:
        print("No --data_dir: nothing is trained on photographs.", file=sys.stderr)
    for row in tqdm(missing, "rows", disable=None):
        seconds = min(60 * row.minutes, end - time.monotonic())
        if seconds <= 0:
            sys.exit(f"The time is over before {row.name}; the same command goes there.")
        result = _run(row, seconds, out / "logs" / f"{row.name}.txt")
        with (out / ROWS_FILE).open("a") as file:
            file.write(json.dumps(result | machine) + "\n")


def rows(arguments: argparse.Namespace, out: pathlib.Path) -> list[Row]:
    """The list, most valuable first."""
    found = [*_step_rows(arguments), *_loop_rows(arguments, out)]
    if arguments.data_dir:
        found += _training_rows(arguments, out)
    return [*found, *_detail_rows(arguments)]


def _step_rows(arguments) -> Iterator[Row]:
    small = ("--batch_size=4", "--rounds=1", "--seconds=0.01")
    usual = ("--rounds=5", "--seconds=1")
    step = ("benchmark.step", f"--torch_python={arguments.torch_python}")
    step += small if arguments.small else usual
    models, float32_models = _MODELS, _FLOAT32_MODELS
    if arguments.small:
        models = float32_models = ("ViT_Micro",)
    for model in models:
        yield Row(f"step-{model}-bfloat16", 4, (*step, f"--models={model}", "--dtype=bfloat16"))
    for model in float32_models:
        yield Row(f"step-{model}-float32", 4, (*step, f"--models={model}"))


def _loop_rows(arguments, out) -> Iterator[Row]:
    """Whole trainings against the bare step, and what a resumed one ends with."""
    size = ("--images=256", "--epochs=2", "--rounds=1", "--batch_size=32", "--steps_per_loop=2")
    if not arguments.small:
        size = ("--model=WideResNet_16_4", "--batch_size=256", "--steps_per_loop=50", "--rounds=3")
    yield Row(
        "end-to-end",
        6,
        (
            "benchmark.end_to_end",
            *size,
            "--contenders=gnp_device,bare_step,torch_closure,torch_bare_step",
            f"--torch_python={arguments.torch_python}",
        ),
    )
    epochs = 2 if arguments.small else 30
    for name in ("usual", "deterministic"):
        yield Row(
            f"resume-{name}",
            3,
            (
                "benchmark.resume",
                f"--out={out / 'resume' / name}",
                f"--epochs={epochs}",
                *(("--deterministic",) if name == "deterministic" else ()),
            ),
        )


def _training_rows(arguments, out) -> Iterator[Row]:
    """Standard training, SAM, the penalty and one pass on photographs, seed by seed."""
    fields = ("model.model_name=WideResNet_16_4", "dataset.num_train_images=50000")
    fields += ("total_epochs=60", "batch_size=256", "steps_per_loop=50")
    if arguments.small:
        fields = ("dataset.num_train_images=128", "total_epochs=1", "batch_size=64")
    fields += ("dataset.loader=device", f"dataset.data_dir={arguments.data_dir}")
    flags = tuple(f"--config.{field}" for field in fields)
    for seed in arguments.seeds.split(","):
        for noise in (0.4, 0):
            for method in ("standard", "gnp:0.2", "momentum:0.2", "sam:0.2"):
                yield Row(
                    f"train-{noise}-{method.partition(':')[0]}-{seed}",
                    10,
                    (
                        *("gnp.main.compare", "--config=config/cifar10_jpeg_small.py"),
                        *(f"--working_dir={out / 'runs' / str(noise)}", f"--methods={method}"),
                        *(f"--seeds={seed}", f"--config.dataset.label_noise={noise}", *flags),
                    ),
                )


def _detail_rows(arguments) -> Iterator[Row]:
    small = ("--cases=2x8x2x8", "--seconds=0.01", "--rounds=1") if arguments.small else ()
    yield Row("attention", 4, ("benchmark.attention", "--dtype=bfloat16", *small))
    if arguments.small:
        return
    for size in _BATCH_SIZES:
        step = ("benchmark.step", "--models=ViT_S16,WideResNet_28_10", "--dtype=bfloat16")
        yield Row(f"step-batch-{size}", 4, (*step, f"--batch_size={size}", "--torch_python=none"))


def _done(file) -> set[str]:
    """The rows that ended well."""
    if not file.exists():
        return set()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {line["row"] for line in lines if line["exit"] == 0}


def _run(row, seconds, log) -> dict:
    start = time.monotonic()
    command = [sys.executable, "-m", *row.command]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)  # trainings save
            output, _ = process.communicate()
    return {
        "row": row.name,
        "command": " ".join(["python", "-m", *row.command]),
        "exit": process.returncode,
        "seconds": round(time.monotonic() - start, 1),
        "printed": [_parsed(line) for line in output.splitlines() if line.strip()],
    }


def _parsed(line):
    """A line of output: its JSON object, or its text without colors."""
    try:
        return json.loads(line)
    except ValueError:
        return re.sub(r"\x1b\[[0-9;]*m", "", line)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("accelerator", __doc__)
    parser.add_argument("--out", required=True, help="the folder of the results")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--data_dir", help="CIFAR-10 as images in class folders")
    parser.add_argument("--seeds", default="0", help="of the trainings, such as 0,1,2")
    parser.add_argument("--small", action="store_true", help="the size of a CPU")
    options.add_torch_python(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
