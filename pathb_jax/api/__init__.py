"""What the package offers to other programs: its functions do what the commands do.

Each chooses where to compute before anything else, as its command does, and leaves JAX's settings
as it found them. An error names the parameter where a command's names the flag.
"""

from pathb_jax.api.ladders import judge, run_ladder
from pathb_jax.api.policies import Evaluation, evaluate, intervene, load_policy
from pathb_jax.api.training import evaluate_only, make_config, train

__all__ = [
    "Evaluation",
    "evaluate",
    "evaluate_only",
    "intervene",
    "judge",
    "load_policy",
    "make_config",
    "run_ladder",
    "train",
]
