"""Small real files to try things on: found on this machine, or downloaded once.

`sample` gives the path of a file; `names` and `describe` tell what there is. Nothing is downloaded that is already in
the folder of the environment variable ``SPINRAY_DATA`` or in the user's cache.
"""

from .registry import Sample
from .samples import describe, names, sample

__all__ = ["Sample", "describe", "names", "sample"]
