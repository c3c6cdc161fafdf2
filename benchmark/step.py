"""Time of one training step, standard and penalized, compared with optax and PyTorch.

python -m benchmark.step [--models=A,B] [--batch_size=32] [--dtype=bfloat16] [--rounds=7]
    [--seconds=2] [--torch_python=PYTHON]

Prints one JSON object per model. All contenders use the same model, batch, loss and optimizer. They
alternate in the same run on one device. Times are of whole steps, including the parameter update.
The contenders differ in three points: this project's steps also compute their metrics, optax and
PyTorch use only the perturbed gradient (α = 1), and PyTorch adds weight decay after clipping, as
its optimizers do. `model_flops_utilization` is the operations of the model over the peak of the
device in bfloat16 (see docs/speed.md), or null if the peak is unknown. `operations_…` and
`traffic_…`, on CPUs only, are the operations and the bytes read and written as counted by the
compiler. PYTHON is an interpreter with torch, if not this one. Without torch, its figures are
missing, and standard error says why.

  standard, penalized                this project
  one_pass, quarter_batch            its penalty along the average of past gradients, in one pass,
                                     and with a first pass over a quarter of the images
  floor_standard, floor_penalized    jax.value_and_grad once and twice, and nothing else
  optax_opaque, optax_transparent    optax.contrib.sam in both modes
  torch_standard, torch_penalized    PyTorch; the second with the two-step closure
  torch_compiled                     the closure with torch.compile
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence

import jax

from benchmark import machine, options, timing
from benchmark.jax.steps import (
    ONE_PASS,
    QUARTER_BATCH,
    Contender,
    build_model,
    image_side,
    make_batch,
    optax_sam_opaque,
    optax_sam_transparent,
    our_step,
    step_by_hand,
)
from benchmark.subprocess_case import error_line
from benchmark.torch.process import TorchProcess
from gnp.main.start import xla
from gnp.model import size
from gnp.training.monitoring.peak_flops import peak_flops
from gnp.training.monitoring.throughput import train_flops

_MODELS = ("WideResNet_16_4", "ResNet18", "ViT_TI16", "ViT_S16")
_MODELS_ON_GPU = (*_MODELS, "WideResNet_28_10", "ResNet50", "Swin_Tiny_224")
_OURS = ("standard", "penalized", "one_pass", "quarter_batch")
_PASSES = {  # of the others: 2
    "standard": 1,
    "floor_standard": 1,
    "torch_standard": 1,
    "one_pass": 1,
    "quarter_batch": QUARTER_BATCH.num_passes,
}
_COMPARED = {
    "optax_opaque": "penalized",
    "optax_transparent": "penalized",
    "torch_standard": "standard",
    "torch_penalized": "penalized",
    "torch_compiled": "penalized",
}


def main() -> None:
    """Measures each model."""
    xla.use_all_cores()
    # The PyTorch process needs memory on the same accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    arguments = parse_arguments()
    machine.require_one_device(jax.device_count())
    torch = _start_torch(arguments.torch_python)
    for name in arguments.models.split(","):
        try:
            print(json.dumps(measure(name, torch, arguments)), flush=True)
        except jax.errors.JaxRuntimeError as error:  # out of memory, for example
            print(f"No figures of {name}: {error_line(str(error))}", file=sys.stderr)
        jax.clear_caches()
    if torch:
        torch.close()


def measure(name: str, torch: TorchProcess | None, arguments) -> dict:
    """Returns times, rates and ratios of one model."""
    side = image_side(name)
    model = build_model(name, arguments.dtype)
    model_size = size.measure(model, (side, side, 3))
    batch = make_batch(arguments.batch_size, side)
    runners = {
        "standard": Contender(*our_step(model, batch, penalized=False)),
        "penalized": Contender(*our_step(model, batch, penalized=True)),
        "one_pass": Contender(*our_step(model, batch, penalized=True, form=ONE_PASS)),
        "quarter_batch": Contender(*our_step(model, batch, penalized=True, form=QUARTER_BATCH)),
        "floor_standard": Contender(*step_by_hand(model, batch, penalized=False)),
        "floor_penalized": Contender(*step_by_hand(model, batch, penalized=True)),
        "optax_opaque": Contender(*optax_sam_opaque(model, batch)),
        "optax_transparent": Contender(*optax_sam_transparent(model, batch), sub_steps=2),
    }
    counted = {}
    if jax.default_backend() == "cpu":  # elsewhere, library calls are not counted
        counted = _counted(**runners)
    request = {"model": name, "batch_size": arguments.batch_size, "image_size": side}
    request |= {"dtype": arguments.dtype, "parameters": model_size.parameters}
    if torch:
        runners |= _torch_contenders(torch, request)
    times = timing.in_rounds(runners, rounds=arguments.rounds, seconds=arguments.seconds)
    if torch:
        torch.forget()
    return {
        "model": name,
        "image_size": side,
        "batch_size": arguments.batch_size,
        "dtype": arguments.dtype,
        "rounds": arguments.rounds,
        **{
            contender: timing.summary(seconds)
            | _rates(contender, statistics.median(seconds), model_size, arguments.batch_size)
            for contender, seconds in times.items()
        },
        **{
            f"{step}/standard": timing.ratio(times[step], times["standard"])
            for step in ("penalized", "one_pass", "quarter_batch")
        },
        **counted,
        "standard/floor_standard": timing.ratio(times["standard"], times["floor_standard"]),
        "penalized/floor_penalized": timing.ratio(times["penalized"], times["floor_penalized"]),
        **{
            f"{other}/{contender}": timing.ratio(times[other], times[contender])
            for other, contender in _COMPARED.items()
            if other in times
        },
        "torch": torch and torch.version,
        **machine.describe(),
    }


def _counted(*, standard, penalized, one_pass, quarter_batch, floor_standard, floor_penalized, **_):
    ratios = {
        "operations_penalized/standard": penalized.operations / standard.operations,
        "operations_one_pass/standard": one_pass.operations / standard.operations,
        "operations_quarter_batch/standard": quarter_batch.operations / standard.operations,
        "traffic_standard/floor_standard": standard.traffic / floor_standard.traffic,
        "traffic_penalized/floor_penalized": penalized.traffic / floor_penalized.traffic,
    }
    return {name: round(ratio, 4) for name, ratio in ratios.items()}


def _rates(contender, seconds, model_size, batch_size):
    """Returns the rates of a step; only this project's steps use all devices."""
    images_per_second = batch_size / seconds
    passes = _PASSES.get(contender, 2)
    operations = train_flops(2 * model_size.multiply_adds, passes) * images_per_second
    peak = peak_flops(jax.devices()[0].device_kind)
    devices = jax.device_count() if contender in _OURS else 1
    return {
        "images_per_second": round(images_per_second, 1),
        "model_tflops": round(operations / devices / 1e12, 3),
        "model_flops_utilization": round(operations / devices / peak, 4) if peak else None,
    }


def _start_torch(python):
    try:
        return TorchProcess(python)
    except RuntimeError as error:
        print(f"No figures of PyTorch by {python}: {error}", file=sys.stderr)
        return None


def _torch_contenders(torch, request):
    runners = {}
    for contender, penalized, compiled in (
        ("torch_standard", False, False),
        ("torch_penalized", True, False),
        ("torch_compiled", True, True),
    ):
        try:
            runners[contender] = torch.prepare(
                contender, penalized=penalized, compiled=compiled, **request
            )
        except RuntimeError as error:
            print(f"No figure {contender} of {request['model']}: {error}", file=sys.stderr)
    return runners


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    on_gpu = jax.default_backend() == "gpu"
    parser = options.parser("step", __doc__)
    parser.add_argument("--models", default=",".join(_MODELS_ON_GPU if on_gpu else _MODELS))
    parser.add_argument("--batch_size", type=int, default=256 if on_gpu else 32)
    options.add_dtype(parser)
    parser.add_argument("--rounds", type=int, default=7, help="runs of each contender")
    parser.add_argument("--seconds", type=float, default=2.0, help="approximate length of a run")
    options.add_torch_python(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
