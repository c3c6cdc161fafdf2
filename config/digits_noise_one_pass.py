"""The digits with wrong training labels, with the penalty at the price of standard training.

    python -m gnp.main.main --config=config/digits_noise_one_pass.py --working_dir=runs

Each step makes one pass, at parameters perturbed along the average of past gradients. The last
tenth of training is standard.

Hardware: two CPU cores.
Time: 15 seconds, as standard training.
Test error: 3.1 % (five seeds); 26.3 % of standard training, 1.9 % with two passes.
Source: benchmark/RESULTS.md, measured with these settings.
"""

from gnp.configs import digits_noise


def get_config():
    config = digits_noise.get_config()
    config.gnp.r = 1.25
    config.gnp.alpha = 1.0
    config.gnp.ascent = "momentum"
    config.gnp.ascent_decay = 0.5
    config.gnp.when.last_epoch = 27
    return config
