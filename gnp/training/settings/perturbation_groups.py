"""Settings of the perturbation groups, of standard and of penalized steps."""

from typing import Any

from gnp.errors import UserError
from gnp.training.perturbation_groups import PerturbationGroups, plan_groups


def read_groups(
    config: Any, num_devices: int, unset_size: int | None = None
) -> tuple[PerturbationGroups, PerturbationGroups]:
    """The perturbation groups of standard and of penalized steps.

    Args:
      config: the resolved config.
      num_devices: devices that share a batch, over all processes.
      unset_size: images of a group if the config does not say; None: those of a device.

    Raises:
      UserError: the sizes do not divide, or two fields do not go together.
    """
    gnp = config.gnp
    if gnp.sync_perturbations and gnp.perturbation_batch is not None:
        raise UserError(
            "gnp.sync_perturbations makes the whole batch one perturbation group, and "
            f"gnp.perturbation_batch groups of {gnp.perturbation_batch} images; set one of them "
            "alone."
        )
    sizes = {
        "batch_size": config.batch_size,
        "num_devices": num_devices,
        "accumulation_steps": config.gradient_accumulation_steps,
    }
    m = 0 if gnp.sync_perturbations else gnp.perturbation_batch
    penalized = plan_groups(**sizes, perturbation_batch=unset_size if m is None else m)
    # This penalty's norm is that of a group's gradient, in standard steps too.
    if config.regularization.parameter_gradient.strength:
        return penalized, penalized
    return plan_groups(**sizes), penalized


def depend_on_devices(config: Any) -> bool:
    """Whether the number of devices decides who is in a perturbation group that is used."""
    gnp = config.gnp
    is_used = gnp.r * gnp.alpha > 0 or config.regularization.parameter_gradient.strength > 0
    return is_used and gnp.perturbation_batch is None and not gnp.sync_perturbations
