"""Trains a config by several methods, and compares.

gnp compare --config=digits_noise --working_dir=DIR [--methods=standard,gnp,sam:0.5,momentum:1.25]
    [--seeds=0,1,2] [--parallel=N | --slurm="--gres=gpu:1"] [--config.FIELD=VALUE ...]

A method has the config's radius, or the one behind its colon. Called again it trains what is
missing. The report is in DIR/report, or in --out.
"""

from absl import flags

from gnp.main import app
from gnp.main import config as config_flags
from gnp.main.start import trainings
from gnp.main.start.methods import METHODS, fields_of


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_list("methods", ["standard", "gnp"], f"Of {', '.join(METHODS)}; see docs/methods.")
    trainings.define_flags()


def main() -> None:
    """Trains and compares what the flags ask for."""
    config = config_flags.read_config()
    trainings.train_and_compare(
        [(method, fields_of(method, config)) for method in flags.FLAGS.methods]
    )


if __name__ == "__main__":
    app.run(main, define_flags)
