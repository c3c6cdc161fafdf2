"""Small weights, or groups of them, become exact zeros and stay so."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from gnp.parameter_paths import first_matches
from gnp.regularization import tree
from gnp.regularization.epochs import Epochs
from gnp.regularization.weight_groups import WeightGroups

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Which weights become zero when.

    At the end of each of `epochs` the groups whose root mean square is at most their limit become
    zero. What is zero from then on is held there, whatever gradient, momentum and weight decay
    say, until `release_epoch` begins: dense, sparse, dense (arXiv 1607.04381). The zeros themselves
    are the mask, so no other state is needed; a weight that comes to be exactly zero by itself
    in that time is held too.

    >>> rules = [("kernel", 0.5, WeightGroups("elements"))]
    >>> threshold = Threshold(rules, Epochs(), release_epoch=None, steps_per_epoch=10)
    >>> print(threshold.cut({"kernel": jnp.array([0.1, 2.0])}, step=9)["kernel"])
    [0. 2.]

    Attributes:
      rules: `(pattern, limit, groups)`; the first that matches a path wins, the others stay free.
      epochs: those that end with it.
      release_epoch: None: never.
      steps_per_epoch: steps in an epoch.
      field: where the rules come from, for messages.
    """

    rules: Sequence[tuple[str, float, WeightGroups]]
    epochs: Epochs
    release_epoch: int | None
    steps_per_epoch: int
    field: str = "The threshold"

    def hold(self, params: PyTree, start: PyTree, step: jax.Array) -> PyTree:
        """`params`, with zeros where those at the start of the step are held at zero.

        >>> params, start = {"kernel": jnp.array([0.3, 2.0])}, {"kernel": jnp.array([0.0, 2.0])}
        >>> print(threshold.hold(params, start, step=10)["kernel"])
        [0. 2.]

        Args:
          params: any parameters that the step comes by, such as perturbed ones.
          start: those that it started with.
          step: its number, from 0.
        """
        is_on = step >= (self.epochs.first + 1) * self.steps_per_epoch
        if self.release_epoch is not None:
            is_on &= step < self.release_epoch * self.steps_per_epoch
        start = traverse_util.flatten_dict(start, sep="/")
        return self._change(params, lambda path, w, *_: jnp.where(is_on & (start[path] == 0), 0, w))

    def cut(self, params: PyTree, step: jax.Array) -> PyTree:
        """`params` after step `step`: small groups are zero if an epoch ends that asks for it.

        >>> print(threshold.cut({"kernel": jnp.array([0.1, 2.0])}, step=8)["kernel"])
        [0.1 2. ]
        """
        ends_epoch = (step + 1) % self.steps_per_epoch == 0
        epoch = step // self.steps_per_epoch
        is_due = ends_epoch & self.epochs.include(epoch)
        if self.release_epoch is not None:
            is_due &= epoch + 1 < self.release_epoch

        def cut_one(path, parameter, limit, groups):
            del path
            mean_squares = jnp.square(groups.norms(parameter)) / groups.sizes(parameter)
            is_small = groups.spread(mean_squares <= limit**2, parameter.shape)
            return jnp.where(is_due & is_small, 0, parameter)

        return self._change(params, cut_one)

    def _change(self, params, function):
        leaves = traverse_util.flatten_dict(params, sep="/")
        rules = first_matches(self.rules, leaves, self.field)
        for path, (limit, groups) in rules.items():
            groups.check(path, leaves[path].shape)
            leaves[path] = function(path, leaves[path], limit, groups).astype(leaves[path].dtype)
        return traverse_util.unflatten_dict(leaves, sep="/")


def with_held_zeros(update: Callable, threshold: Threshold) -> Callable:
    """An update of a train state after which what the threshold holds is zero.

    Args:
      update: `(state, batch) -> (state, metrics)`; a state has `params` and `step`.
      threshold: which weights become zero when.
    """

    def holding_update(state, batch):
        updated, metrics = update(state, batch)
        held = threshold.hold(updated.params, state.params, state.step)
        return updated.replace(params=held), metrics

    return holding_update


def with_cut(step: Callable, threshold: Threshold) -> Callable:
    """A train step after which small weights are zero, if an epoch ends that asks for it.

    Args:
      step: `(state, batch) -> (state, metrics)`; the metrics have `parameter_norm`.
      threshold: which weights become zero when.
    """

    def cutting_step(state, batch):
        updated, metrics = step(state, batch)
        cut = cut_state(updated, threshold, state.step)
        return cut, metrics | {"parameter_norm": tree.global_norm(cut.params)}

    return cutting_step


def cut_state(state: Any, threshold: Threshold, step: jax.Array) -> Any:
    """A train state after step `step`, with its zeros, in the averages (`ema`) too."""
    state = state.replace(params=threshold.cut(state.params, step))
    if state.ema is None:
        return state
    averages = threshold.hold(state.ema["params"], state.params, step + 1)
    return state.replace(ema=state.ema | {"params": averages})


def sparsity(params: PyTree, kinds: Mapping[str, Sequence[WeightGroups]]) -> dict[str, jax.Array]:
    """Shares of zeros.

    Args:
      params: tree of arrays.
      kinds: for the paths of some parameters the groups to count, in addition to elements.

    Returns:
      For each of them `path`, the share of its elements that are zero, and `path/kind`, that of
      the groups; and `all`, the share of the elements of all of them.
    """
    leaves = traverse_util.flatten_dict(params, sep="/")
    shares = {}
    for path, groups_of_path in kinds.items():
        shares[path] = jnp.mean(leaves[path] == 0)
        for groups in groups_of_path:
            shares[f"{path}/{groups.kind}"] = jnp.mean(groups.norms(leaves[path]) == 0)
    zeros = sum(shares[path] * leaves[path].size for path in kinds)
    return shares | {"all": zeros / sum(leaves[path].size for path in kinds)}
