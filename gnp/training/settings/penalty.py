"""Settings of the penalty on the gradient norm: its strength, its form and its steps."""

import dataclasses
import functools
import logging
from collections.abc import Callable
from typing import Any

import optax

from gnp.errors import UserError
from gnp.regularization.ae_sam import where_steep
from gnp.regularization.ascent import STEEPEST, Ascent, ascent, restricted
from gnp.regularization.epochs import Epochs
from gnp.regularization.following import following_loss
from gnp.regularization.look_sam import look_sam
from gnp.regularization.passes import PenaltyForm
from gnp.regularization.penalized_steps import PenalizedSteps, probability_schedule
from gnp.regularization.warmup import penalty_warmup
from gnp.training.gradient import Penalty
from gnp.training.settings.checks import LARGEST_INT

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class PenaltySettings:
    """The penalty on the gradient norm: how strong it is, and in which steps.

    Attributes:
      r, alpha: after the warmup.
      form, bn_policy: fields of `Penalty`.
      warmup_strategy: a name of `penalty_warmup`.
      warmup_steps: its length, of the number of steps in an epoch.
      epochs: outside of these all steps are standard.
      every: of the steps each `every`-th is penalized.
      probability: that a step is penalized, a schedule made of the number of steps of the run;
        None: no samples are drawn.
      where_steep: whether each step asks its gradient too (AE-SAM).
      shrink_r_below: training loss below which r shrinks in proportion to it; 0: r does not.
    """

    r: float
    alpha: float
    form: PenaltyForm
    bn_policy: str
    warmup_strategy: str
    warmup_steps: Callable[[int], int]
    epochs: Epochs
    every: int
    probability: Callable[..., optax.Schedule] | None
    where_steep: bool
    shrink_r_below: float

    @classmethod
    def from_config(cls, config: Any) -> "PenaltySettings":
        """What a config asks for.

        Raises:
          UserError: a field has a bad value, or two do not go together.
        """
        gnp = config.gnp
        form = _form(gnp)
        if gnp.mode == "exact" and gnp.bn_policy != "clean":
            raise UserError(
                f"gnp.bn_policy is {gnp.bn_policy!r}, but gnp.mode=exact perturbs nothing; leave "
                "it at 'clean'."
            )
        if gnp.alpha > 1:
            _log.warning(
                "gnp.alpha is %s; above 1 the step goes beyond the perturbed gradient.", gnp.alpha
            )
        return cls(
            r=gnp.r,
            alpha=gnp.alpha,
            form=form,
            bn_policy=gnp.bn_policy,
            warmup_strategy=config.gr_warmup_strategy,
            warmup_steps=_warmup_steps(config),
            epochs=_epochs(config),
            every=_one_of_two("gnp.every", gnp.every, "gnp.when.every", gnp.when.every, unset=1),
            probability=_probability(config),
            where_steep=gnp.when.steep,
            shrink_r_below=gnp.shrink_r_below,
        )._checked()

    def _checked(self):
        if self.where_steep:
            where_steep(self.form.ascent, total_steps=1)  # says what does not go with it
        is_mixed = self.alpha != 1 or self.warmup_strategy == "lambda"
        if self.form.is_one_pass and not self.is_off and is_mixed:
            raise UserError(
                "gnp.ascent makes one pass, at the perturbed parameters, so there is no gradient "
                "to mix with: set gnp.alpha to 1, and gr_warmup_strategy to none, r or zero."
            )
        return self

    def check_share(self, images: int) -> None:
        """Raises a UserError if `ascent_share` of these images, a device's, is no whole number."""
        part = self.form.ascent_share * images
        if abs(part - round(part)) > 1e-6 * images or round(part) == 0:
            nearest = max(round(part), 1)
            raise UserError(
                f"gnp.ascent_share is {self.form.ascent_share}, which of the {images} images of a "
                f"perturbation group on one device is {part:g}; choose a share that is a whole "
                f"number of images, such as {nearest / images:g}."
            )

    @property
    def is_off(self) -> bool:
        """Whether training is standard training."""
        return self.r == 0 or self.alpha == 0

    @property
    def ascent_in_use(self) -> Ascent:
        """The ascent whose memory the run keeps; standard training keeps none."""
        # Its memory does not depend on the length of the run.
        return STEEPEST if self.is_off else self._form(total_steps=1).ascent

    def _form(self, total_steps):
        ascent = self.form.ascent
        if self.where_steep:
            ascent = where_steep(ascent, total_steps)
        if self.shrink_r_below:
            ascent = following_loss(ascent, self.shrink_r_below)
        return dataclasses.replace(self.form, ascent=ascent)

    def in_steps(self, steps_per_epoch: int, total_steps: int) -> Penalty | None:
        """The penalty of a step, its strength as schedules of the step; None if it is off."""
        if self.is_off:
            return None
        strength = penalty_warmup(
            self.warmup_strategy,
            r=self.r,
            alpha=self.alpha,
            warmup_steps=self.warmup_steps(steps_per_epoch),
        )
        return Penalty(*strength, form=self._form(total_steps), bn_policy=self.bn_policy)

    def penalized_steps(self, steps_per_epoch: int, total_steps: int) -> PenalizedSteps | None:
        """Which steps are penalized; None if the penalty is off."""
        if self.is_off:
            return None
        is_zero_warmup = self.warmup_strategy == "zero"
        start = self.warmup_steps(steps_per_epoch) if is_zero_warmup else 0
        if start >= total_steps:
            _log.warning(
                "The penalty's warmup of %d steps is as long as the run: no step is penalized.",
                start,
            )
        return PenalizedSteps(
            start=start,
            steps_per_epoch=steps_per_epoch,
            epochs=self.epochs,
            every=self.every,
            probability=self.probability and self.probability(total_steps=total_steps),
        )


def _form(gnp):
    direction = restricted(ascent(gnp.ascent, decay=gnp.ascent_decay), gnp.perturb)
    return PenaltyForm(
        mode=gnp.mode,
        norm_perturbations=gnp.norm_perturbations,
        ascent=look_sam(direction, gnp.reuse) if gnp.reuse else direction,
        ascent_steps=gnp.ascent_steps,
        ascent_share=gnp.ascent_share,
        surrogate_gap=gnp.surrogate_gap,
    )


def _warmup_steps(config):
    """Length of the penalty's warmup in steps, as a function of the steps in an epoch."""
    steps, epochs = config.gnp.warmup_steps, config.gnp.warmup_epochs
    if steps is not None:
        return lambda steps_per_epoch: steps
    if epochs is None:
        epochs = config.warmup_epochs
    return lambda steps_per_epoch: min(round(epochs * steps_per_epoch), LARGEST_INT)


def _epochs(config):
    when = config.gnp.when
    epochs = Epochs(when.first_epoch, when.last_epoch, when.every_n_epochs)
    epochs.check("gnp.when")
    return epochs


def _probability(config):
    hybrid = config.hybrid_config
    p = _one_of_two(
        "hybrid_config.p",
        hybrid.p if config.use_hybrid_training else None,
        "gnp.when.probability",
        config.gnp.when.probability,
        unset=None,
    )
    if p is None:
        return None
    if not config.use_hybrid_training:
        return functools.partial(probability_schedule, "constant", p=p, p_end=p)
    return functools.partial(probability_schedule, hybrid.schedule, p=p, p_end=hybrid.p_end)


def _one_of_two(old_name, old, name, value, *, unset):
    """The value of a field that has an older name too."""
    if unset not in (old, value):
        raise UserError(f"{old_name} and {name} are the same setting; set one of them alone.")
    return old if value == unset else value
