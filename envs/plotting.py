"""matplotlib imported so that nobody's settings of it can end a program that draws nothing.

gymnax imports `matplotlib.pyplot` with its environments. matplotlib reads MPLBACKEND and the
working folder's matplotlibrc when it is imported, and an unknown backend or a broken file stops it.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path


def import_matplotlib() -> None:
    """Import matplotlib with the user's settings, or, where they cannot be read, as it ships."""
    try:
        importlib.import_module("matplotlib")
    except ValueError:
        spec = importlib.util.find_spec("matplotlib")
        assert spec is not None
        assert spec.origin is not None
        for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
            del sys.modules[name]  # half of them are there
        folder, backend = Path.cwd(), os.environ.pop("MPLBACKEND", None)
        # It looks for settings in the working folder first: there lie those that it ships with.
        os.chdir(Path(spec.origin).parent / "mpl-data")
        try:
            importlib.import_module("matplotlib")
        finally:
            os.chdir(folder)
            if backend is not None:
                os.environ["MPLBACKEND"] = backend
