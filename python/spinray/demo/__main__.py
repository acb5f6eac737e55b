"""``python -m spinray.demo``."""

import sys

import matplotlib

from .command import main

matplotlib.use("Agg")  # figures go to files
sys.exit(main())
