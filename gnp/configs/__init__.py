"""The configs that come with gnp: in a clone the folder `config`, in an installation in here.

Config files import each other by this name, which holds in both:

    from gnp.configs import base
"""

import pathlib

_here = pathlib.Path(__file__).parent

# The folder of the files.
FOLDER = _here if (_here / "base.py").exists() else _here.parents[1] / "config"

__path__ = [str(FOLDER)]
