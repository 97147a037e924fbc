"""`evaluate`: play a checkpoint, a policy file or a reference controller from fixed seeds."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.cli.evaluate_flags import EditFlags, EvaluateFlags, ProbeFlags, check
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.json_result import json_result
from pathb_jax.display.terminal import Terminal, notice
from pathb_jax.errors import InputError
from pathb_jax.ladder.statistics import clopper_pearson

if TYPE_CHECKING:
    from pathb_jax.envs.interventions import Edits, Probe
    from pathb_jax.envs.shadow_field import EnvParams, MesaShadowField
    from pathb_jax.evaluation.evaluator import SetResult
    from pathb_jax.runs.subjects import Subject

DESCRIPTION = """Play whole episodes from integer seeds and print success with exact intervals.

Give one of --checkpoint, --policy or --controller. A probe changes the world before each episode,
an edit changes one channel from a step on; both are off by default.

Exit status: 0 done; 2 bad input."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(EvaluateFlags, arguments, DESCRIPTION)
    check(flags)

    # Importing JAX takes seconds; wrong flags are reported before.
    from pathb_jax.system import backend

    backend.select_backend(flags.world.backend)  # before the environment, which starts JAX
    from pathb_jax.envs.shadow_field import MesaShadowField
    from pathb_jax.evaluation.evaluator import evaluate
    from pathb_jax.runs import memory

    player = _load(flags)
    env = MesaShadowField(player.sensor_tier, max_delay=flags.probe.probe_delay)
    if player.observed not in (None, env.obs_dim):
        raise InputError(
            "--sensor-tier",
            player.sensor_tier,
            f"it shows {env.obs_dim} numbers, {player.name} observes {player.observed}",
        )
    params, probe = _edited(env, flags.edit), _probe(flags.probe)
    world = flags.world
    layers = getattr(player.actor, "size", None)
    memory.check_evaluation(world.eval_seeds, layers.width if layers else 0, env.max_delay)
    results = evaluate(
        env, player.actor, player.data, params, world.eval_seed_start, world.eval_seeds, probe
    )
    _check_finite(flags, player, results)
    summaries = [_summary(player, result) for result in results]
    with json_result(flags.report.json) as write:
        _print_table(player, summaries)
        write({"subject": player.name, "sets": summaries})
    if flags.report.csv is not None:
        _write_rows(flags.report.csv, results)
    if flags.report.render is not None:
        _render(flags, player, env, params, probe)
    return OK


def _check_finite(flags: EvaluateFlags, player: "Subject", results: "Sequence[SetResult]") -> None:
    """Raise InputError where finite numbers led to others: an overflow, or infinity times 0."""
    import numpy as np

    for result in results:
        if not all(np.isfinite(figures).all() for figures in vars(result.episodes).values()):
            flag = "--policy" if flags.subject.policy is not None else "--checkpoint"
            flag = flag if flags.subject.controller is None else "--controller"
            allowed = "its numbers, or a flag's, are so large that episodes leave what is finite"
            raise InputError(flag, player.name, allowed)


def _load(flags: EvaluateFlags) -> "Subject":
    from pathb_jax.runs import subjects

    given, tier = flags.subject, flags.world.sensor_tier
    if given.controller is not None:
        subject = subjects.controller_subject(given.controller)
    elif given.policy is not None:
        hint = "; give --sensor-tier"
        subject = subjects.policy_subject(given.policy, "--policy", tier, hint)
    else:
        assert given.checkpoint is not None
        subject = subjects.checkpoint_subject(given.checkpoint, "--checkpoint")
    return dataclasses.replace(subject, sensor_tier=tier or subject.sensor_tier)


def _edited(env: "MesaShadowField", flags: EditFlags) -> "EnvParams":
    edit = _edit(env, flags)
    if edit is None:
        return env.default_params
    from pathb_jax.envs.interventions import stack_edits

    return env.default_params.replace(edits=stack_edits([edit]))


def _edit(env: "MesaShadowField", flags: EditFlags) -> "Edits | None":
    from pathb_jax.envs import interventions

    step, channel = flags.edit_step, flags.edit_channel
    if channel is None:
        return None
    horizon = env.default_params.max_steps_in_episode
    if step >= horizon:
        raise InputError(
            "--edit-step", step, f"episodes end at step {horizon}: give 0..{horizon - 1}"
        )
    if channel == "reward":
        return interventions.reward_edit(step, flags.edit_scale, flags.edit_shift)
    if channel == "signature-sensor":
        return interventions.sensor_edit(step, flags.edit_scale, flags.edit_shift)
    if channel == "geometry":
        return interventions.geometry_edit(step, flags.edit_point)
    if channel == "basin-position":
        return interventions.basin_position_edit(step, flags.edit_point)
    if not all(0 <= index < env.obs_dim for index in flags.edit_mask):
        raise InputError(
            "--edit-mask", list(flags.edit_mask), f"indices are 0..{env.obs_dim - 1} on this tier"
        )
    new = dict(zip(flags.edit_mask, flags.edit_replacement, strict=True))
    entries = range(env.obs_dim)
    return interventions.observation_edit(
        step, [index in new for index in entries], [new.get(index, 0.0) for index in entries]
    )


def _probe(flags: ProbeFlags) -> "Probe | None":
    if flags == ProbeFlags():
        return None
    from pathb_jax.envs import interventions

    decoy = None
    if flags.probe_decoy is not None:
        strength, *at = flags.probe_decoy
        decay = interventions.Decay[flags.probe_decoy_decay.replace("-", "_").upper()]
        decoy = interventions.decoy(strength, decay, at)
    delay = interventions.KEEP_DELAY if flags.probe_delay is None else flags.probe_delay
    return interventions.probe(
        rotate=flags.probe_rotate,
        translate=flags.probe_translate,
        scale=flags.probe_scale,
        mirror=interventions.Mirror[flags.probe_mirror.upper()],
        delay=delay,
        decoy=decoy,
    )


def _summary(player: "Subject", result: "SetResult") -> dict[str, Any]:
    low, high = clopper_pearson(result.success_count, result.seeds)
    return {
        "subject": player.name,
        "sensor_tier": player.sensor_tier,
        "seed_start": result.seed_start,
        "seeds": result.seeds,
        "success_count": result.success_count,
        "success_rate": result.success_rate,
        "success_interval_95": [low, high],
        "mean_terminal_alignment": result.mean_terminal_alignment,
        "mean_steps": result.mean_steps,
    }


def _print_table(player: "Subject", summaries: Sequence[Mapping[str, Any]]) -> None:
    console = Terminal()
    console.print(f"{player.name} on {player.sensor_tier}")
    table = Table("seeds", "success", "rate", "95 % interval", "mean alignment", "mean steps")
    for summary in summaries:
        low, high = summary["success_interval_95"]
        start, seeds = summary["seed_start"], summary["seeds"]
        table.add_row(
            f"{start}..{start + seeds - 1}",
            f"{summary['success_count']}/{seeds}",
            f"{summary['success_rate']:.3f}",
            f"[{low:.3f}, {high:.3f}]",
            f"{summary['mean_terminal_alignment']:.4f}",
            f"{summary['mean_steps']:.1f}",
        )
    console.print(table)


def _heading(name: str) -> str:
    """Name the subject in a picture: a checkpoint by its run and update."""
    path = Path(name)
    return f"{path.parent.name}, update {path.name}" if path.name.isdecimal() else path.name


def _write_rows(path: Path, results: Sequence["SetResult"]) -> None:
    import numpy as np

    from pathb_jax.runs.output import episode_rows
    from pathb_jax.store.tables import write_table

    rows = [episode_rows(result) for result in results]
    columns = {name: np.concatenate([table[name] for table in rows]) for name in rows[0]}
    write_table(path, columns)
    notice(f"rows: {path}")


def _render(
    flags: EvaluateFlags,
    player: "Subject",
    env: "MesaShadowField",
    params: "EnvParams",
    probe: "Probe | None",
) -> None:
    import jax
    import numpy as np

    from pathb_jax.envs.drawing import arena_of, basin_at
    from pathb_jax.envs.interventions import apply_probe
    from pathb_jax.envs.shadow_field import bind
    from pathb_jax.envs.start_states import start_states
    from pathb_jax.evaluation.evaluator import episode_keys, record_episodes
    from pathb_jax.report.film import draw_film
    from pathb_jax.report.paths import EpisodePath, draw_paths
    from pathb_jax.store.atomic import write_atomically

    target = flags.report.render
    assert target is not None
    count = min(flags.report.render_episodes, flags.world.eval_seeds)
    seeds = flags.world.eval_seed_start[0] + np.arange(count)
    bank = bind(params, *start_states(seeds))
    bank = bank if probe is None else apply_probe(bank, probe)
    controller = player.actor.controller(env, bank, player.data)
    horizon = int(params.max_steps_in_episode)
    paths, goals, _, metrics = jax.device_get(
        jax.jit(lambda world, keys: record_episodes(env, controller, world, keys, horizon))(
            bank, episode_keys(jax.numpy.asarray(seeds, np.uint32))
        )
    )
    basins = basin_at(bank, np.arange(horizon + 1))
    episodes = [
        EpisodePath(
            name=str(seed),
            positions=paths[i, : steps + 1],
            goals=goals[i, : steps + 1],
            basins=basins[: steps + 1],
            success=bool(metrics.success[i]),
        )
        for i, (seed, steps) in enumerate(zip(seeds, metrics.steps, strict=True))
    ]
    heading = (
        f"{_heading(player.name)} on {player.sensor_tier}, "
        f"{int(np.sum(metrics.success))} of {count} succeed"
    )
    if target.suffix == ".gif":
        picture = draw_film(episodes, arena_of(bank), heading)
    else:
        picture = getattr(draw_paths(episodes, arena_of(bank), heading), target.suffix[1:])
    write_atomically(target, picture)
    notice(f"picture: {target}")
