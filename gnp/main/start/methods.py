"""Methods of training by name, as the fields that make them. docs/methods.md has their papers."""

from collections.abc import Mapping
from typing import Any

from gnp.errors import UserError, unknown_name

# What a config may have on, and a method has not, unless it says so.
_PLAIN = {
    "gnp.ascent": "gradient",
    "gnp.ascent_steps": "1",
    "gnp.ascent_share": "1.0",
    "gnp.mode": "two_pass",
    "gnp.perturb": "()",
    "gnp.surrogate_gap": "0.0",
    "gnp.every": "1",
    "gnp.reuse": "0.0",
    "gnp.when.first_epoch": "0",
    "gnp.when.last_epoch": "None",
    "gnp.when.every_n_epochs": "1",
    "gnp.when.every": "1",
    "gnp.when.probability": "None",
    "gnp.when.steep": "False",
    "use_hybrid_training": "False",
}
# The radius is that of the config, and so is alpha where a method does not set it and the config
# has one.
_USUAL_ALPHA = "0.8"
METHODS = {
    "standard": {"gnp.r": "0.0", "gnp.alpha": "0.0"},
    "gnp": {},
    "exact": {"gnp.mode": "exact"},
    "sam": {"gnp.alpha": "1.0"},
    "asam": {"gnp.alpha": "1.0", "gnp.ascent": "adaptive"},
    "friendly": {"gnp.alpha": "1.0", "gnp.ascent": "friendly"},
    "looksam": {"gnp.when.every": "4", "gnp.reuse": "0.7"},
    "quarter": {"gnp.alpha": "1.0", "gnp.ascent_share": "0.25"},
    "momentum": {"gnp.alpha": "1.0", "gnp.ascent": "momentum"},
    "stale": {"gnp.alpha": "1.0", "gnp.ascent": "stale"},
    "random": {"gnp.ascent": "random"},
}


def fields_of(method: str, config: Any) -> Mapping[str, str]:
    """The fields that make a method of a config, as the command line writes them.

    Args:
      method: a name of `METHODS`, or with a radius of its own, as in `sam:0.5`.
      config: of which the rest is taken.

    Raises:
      UserError: the method is unknown, or there is no radius.
    """
    name, _, radius = method.partition(":")
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    fields = _PLAIN | METHODS[name]
    if name == "standard":
        if radius:
            raise UserError(f"The method {method!r} has a radius, but standard training has none.")
        return fields
    if radius:
        fields |= {"gnp.r": radius}
    elif not config.gnp.r > 0:
        raise UserError(
            f"The config has no radius for the method {method!r}; set it by --config.gnp.r=0.1, "
            f"or write {name}:0.1."
        )
    has_alpha = config.gnp.alpha > 0 or "gnp.alpha" in fields
    return fields if has_alpha else fields | {"gnp.alpha": _USUAL_ALPHA}
