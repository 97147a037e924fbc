"""The trainer's formulas once more, in NumPy float64, written from the specification alone.

Source: docs/spec/trainer.md, "Networks", "Acting", "Normalising observations",
"Rollout and advantages", "Update". Nothing here looks at the implementation but for the names
under which parameters are stored. Speed does not matter; being easy to check does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

PRIOR_COUNT = 1e-4


# ---------------------------------------------------------------- normaliser


class WholeSample:
    """Mean and variance of everything merged so far, always from the whole sample.

    The prior counts as PRIOR_COUNT observations of mean 0 and variance 1.
    """

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def merge(self, batch: np.ndarray) -> None:
        self.batches.append(np.array(batch, np.float64))

    @property
    def count(self) -> float:
        return PRIOR_COUNT + sum(len(batch) for batch in self.batches)

    @property
    def mean(self) -> np.ndarray:
        return np.concatenate(self.batches).sum(axis=0) / self.count

    @property
    def var(self) -> np.ndarray:
        mean = self.mean
        squares = ((np.concatenate(self.batches) - mean) ** 2).sum(axis=0)
        return (PRIOR_COUNT * (1.0 + mean**2) + squares) / self.count

    def normalize(self, obs: np.ndarray) -> np.ndarray:
        return (obs - self.mean) / np.sqrt(np.maximum(self.var, 1e-8))


# ---------------------------------------------------------------- advantages


def gae(
    rewards: np.ndarray,
    values: np.ndarray,
    last_value: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    gamma: float,
    gae_lambda: float,
    final_values: np.ndarray | None = None,
) -> np.ndarray:
    """Advantages `[T, N]`: A_t is the sum of (gamma lambda)^k delta_{t+k} to the episode's end.

    `final_values` `[T, N]` are V(final observation): given, time-outs bootstrap.
    """
    steps, envs = rewards.shape
    advantages = np.zeros((steps, envs))
    for env in range(envs):
        for t in range(steps):
            for k in range(t, steps):
                if terminated[k, env]:
                    following = 0.0
                elif truncated[k, env]:
                    following = 0.0 if final_values is None else final_values[k, env]
                else:
                    following = values[k + 1, env] if k + 1 < steps else last_value[env]
                delta = rewards[k, env] + gamma * following - values[k, env]
                advantages[t, env] += (gamma * gae_lambda) ** (k - t) * delta
                if terminated[k, env] or truncated[k, env]:
                    break
    return advantages


# ---------------------------------------------------------------- parameters


def as_numpy(tree: Any) -> Any:
    """Return parameters as nested dictionaries of float64 arrays."""
    if isinstance(tree, dict):
        return {name: as_numpy(part) for name, part in sorted(tree.items())}
    return np.array(tree, np.float64)


def flatten(tree: Any) -> np.ndarray:
    """Return all numbers as one vector, parts in the order of their names."""
    if isinstance(tree, dict):
        return np.concatenate([flatten(tree[name]) for name in sorted(tree)])
    return tree.ravel()


def unflatten(vector: np.ndarray, like: Any) -> Any:
    """Undo `flatten`."""
    if not isinstance(like, dict):
        return vector.reshape(like.shape)
    parts, start = {}, 0
    for name in sorted(like):
        size = flatten(like[name]).size
        parts[name] = unflatten(vector[start : start + size], like[name])
        start += size
    return parts


# ---------------------------------------------------------------- networks


def hidden_and_output(layers: dict[str, Any], obs: np.ndarray) -> tuple[list[np.ndarray], Any]:
    """Return every layer's input (the first is `obs`), and the last layer's linear output."""
    inputs = [obs]
    for index in range(len(layers)):
        layer = layers[f"Dense_{index}"]
        output = inputs[-1] @ layer["kernel"] + layer["bias"]
        if index < len(layers) - 1:
            inputs.append(np.tanh(output))
    return inputs, output


def actor_mean(params: Any, obs: np.ndarray) -> np.ndarray:
    return 1.0 * np.tanh(hidden_and_output(params["actor"], obs)[1])


def critic_value(params: Any, obs: np.ndarray) -> np.ndarray:
    return hidden_and_output(params["critic"], obs)[1][..., 0]


def log_prob(raw: np.ndarray, mean: np.ndarray, log_std: np.ndarray) -> np.ndarray:
    return np.asarray(np.sum(stats.norm.logpdf(raw, loc=mean, scale=np.exp(log_std)), axis=-1))


def entropy(log_std: np.ndarray) -> float:
    return float(np.sum(stats.norm.entropy(scale=np.exp(log_std))))


# ---------------------------------------------------------------- loss


class Samples(NamedTuple):
    """A minibatch `[B, ...]`."""

    obs: np.ndarray
    raw_action: np.ndarray
    log_prob: np.ndarray
    advantage: np.ndarray
    returns: np.ndarray
    value: np.ndarray

    def at(self, indices: np.ndarray) -> "Samples":
        return Samples(*(column[indices] for column in self))


def loss(params: Any, samples: Samples, hparams: Any) -> tuple[float, dict[str, float]]:
    """Return PPO's loss of one minibatch, and the figures that are logged of it."""
    mean = actor_mean(params, samples.obs)
    log_ratio = log_prob(samples.raw_action, mean, params["log_std"]) - samples.log_prob
    ratio, clip = np.exp(log_ratio), hparams.clip_range
    policy_loss = np.mean(
        np.maximum(
            -samples.advantage * ratio,
            -samples.advantage * np.clip(ratio, 1.0 - clip, 1.0 + clip),
        )
    )
    value = critic_value(params, samples.obs)
    error = (value - samples.returns) ** 2
    if hparams.value_clip is not None:
        change = np.clip(value - samples.value, -hparams.value_clip, hparams.value_clip)
        error = np.maximum(error, (samples.value + change - samples.returns) ** 2)
    value_loss = np.mean(0.5 * error)
    bonus = entropy(params["log_std"])
    total = policy_loss + hparams.value_coef * value_loss - hparams.entropy_coef * bonus
    return float(total), {
        "policy_loss": float(policy_loss),
        "value_loss": float(value_loss),
        "entropy": bonus,
        "approx_kl": float(np.mean((ratio - 1.0) - np.log(ratio))),
        "clip_frac": float(np.mean(np.abs(ratio - 1.0) > clip)),
    }


def central_differences(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    """Return the gradient of a function of a vector, from two values per component."""
    step = 1e-5
    shifts = step * np.eye(at.size)
    return np.array([function(at + s) - function(at - s) for s in shifts]) / (2.0 * step)


def differenced_gradient(params: Any, samples: Samples, hparams: Any) -> np.ndarray:
    """Return the loss's gradient as a vector, from values of the loss alone."""
    return central_differences(
        lambda vector: loss(unflatten(vector, params), samples, hparams)[0], flatten(params)
    )


def derived_gradient(params: Any, samples: Samples, hparams: Any) -> np.ndarray:
    """Return the loss's gradient as a vector, derived by hand and propagated back."""
    count = len(samples.returns)
    inputs, output = hidden_and_output(params["actor"], samples.obs)
    mean, variance = np.tanh(output), np.exp(2.0 * params["log_std"])
    gap = samples.raw_action - mean
    ratio = np.exp(log_prob(samples.raw_action, mean, params["log_std"]) - samples.log_prob)
    bound = 1.0 + hparams.clip_range * np.sign(samples.advantage)
    # The clipped branch, which is flat, is the larger loss beyond the bound on A's side.
    active = (ratio - bound) * np.sign(samples.advantage) < 0
    by_log_prob = np.where(active, -samples.advantage * ratio, 0.0) / count
    by_mean = by_log_prob[:, None] * gap / variance
    by_log_std = by_log_prob @ (gap**2 / variance - 1.0) - hparams.entropy_coef
    actor = _backwards(params["actor"], inputs, by_mean * (1.0 - mean**2))

    inputs, output = hidden_and_output(params["critic"], samples.obs)
    value = output[:, 0]
    by_value = value - samples.returns
    if hparams.value_clip is not None:
        change = np.clip(value - samples.value, -hparams.value_clip, hparams.value_clip)
        clipped = samples.value + change
        flat = (clipped - samples.returns) ** 2 > (value - samples.returns) ** 2
        by_value = np.where(flat, 0.0, by_value)
    by_value = hparams.value_coef * by_value / count
    critic = _backwards(params["critic"], inputs, by_value[:, None])
    return flatten({"actor": actor, "critic": critic, "log_std": by_log_std})


def _backwards(layers: dict[str, Any], inputs: list[np.ndarray], by_output: Any) -> dict[str, Any]:
    gradients = {}
    for index in reversed(range(len(layers))):
        name = f"Dense_{index}"
        gradients[name] = {"kernel": inputs[index].T @ by_output, "bias": by_output.sum(axis=0)}
        if index > 0:
            by_output = (by_output @ layers[name]["kernel"].T) * (1.0 - inputs[index] ** 2)
    return gradients


# ---------------------------------------------------------------- step


class Learner:
    """Parameters and Adam's moments, stepped minibatch by minibatch."""

    def __init__(self, params: Any, gradient: Callable[..., np.ndarray] = derived_gradient) -> None:
        self.params = as_numpy(params)
        self.gradient = gradient
        self.first_moment = np.zeros_like(flatten(self.params))
        self.second_moment = np.zeros_like(self.first_moment)
        self.steps = 0

    def rates(self, hparams: Any) -> np.ndarray:
        """Return each parameter's learning rate."""
        critic = hparams.lr if hparams.critic_lr is None else hparams.critic_lr
        parts = {"actor": hparams.lr, "critic": critic, "log_std": hparams.lr}
        sizes = [(flatten(self.params[name]).size, parts[name]) for name in sorted(parts)]
        return np.concatenate([np.full(size, rate) for size, rate in sizes])

    def step(self, samples: Samples, hparams: Any) -> dict[str, float]:
        """Take one step; return the figures of the parameters before it."""
        figures = loss(self.params, samples, hparams)[1]
        gradient = self.gradient(self.params, samples, hparams)
        figures["grad_norm"] = norm = float(np.sqrt(np.sum(gradient**2)))
        parts = unflatten(gradient, self.params)
        figures["critic_grad_norm"] = float(np.linalg.norm(flatten(parts.pop("critic"))))
        figures["actor_grad_norm"] = float(np.linalg.norm(flatten(parts)))
        if norm > hparams.max_grad_norm:
            gradient = gradient * (hparams.max_grad_norm / norm)
        self.steps += 1
        self.first_moment = 0.9 * self.first_moment + 0.1 * gradient
        self.second_moment = 0.999 * self.second_moment + 0.001 * gradient**2
        mean = self.first_moment / (1.0 - 0.9**self.steps)
        square = self.second_moment / (1.0 - 0.999**self.steps)
        change = self.rates(hparams) * mean / (np.sqrt(square) + 1e-8)
        self.params = unflatten(flatten(self.params) - change, self.params)
        return figures
