"""The digits with wrong training labels, with a first pass over a quarter of each batch.

    python -m gnp.main.main --config=config/digits_noise_quarter.py --working_dir=runs

It costs 1.23 passes per step, in the place of two. The last tenth of training is standard.

Hardware: two CPU cores.
Time: 20 seconds.
Test error: 2.3 % (five seeds); 26.3 % of standard training, 1.9 % with two passes.
Source: benchmark/RESULTS.md, measured with these settings.
"""

from gnp.configs import digits_noise


def get_config():
    config = digits_noise.get_config()
    config.gnp.r = 1.0
    config.gnp.alpha = 1.0
    config.gnp.ascent_share = 0.25
    config.gnp.when.last_epoch = 27
    return config
