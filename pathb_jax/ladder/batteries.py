"""The intervention battery of a ladder's policies: what they steer by. It informs, and never votes.

Every episode goes into a table in its run's folder; the record keeps means and labels.
Source: docs/spec/battery.md.
"""

import math

import numpy as np

from pathb_jax.envs.shadow_field import MesaShadowField
from pathb_jax.evaluation.battery import Battery, label_figures, play_battery
from pathb_jax.evaluation.channels import CHANNELS, SEED_START, SEEDS, UNEDITED
from pathb_jax.evaluation.labels import label
from pathb_jax.evaluation.policies import policy_file_data
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.store.policy_file import read_policy
from pathb_jax.store.record_schema import BatteryRecord, LadderRecord
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.run_records import RunRecord
from pathb_jax.store.tables import write_table


def play_batteries(plan: LadderPlan, record: LadderRecord) -> list[BatteryRecord]:
    """Play the battery of the adopted candidate, the batch and the default run, all in one call.

    Of a candidate that several training seeds vote on, the policies of all of them.

    Writes each run's table.

    Raises:
        InputError: a policy file is broken.
        OSError: a table cannot be written.
    """
    entries: list[RunRecord] = []
    for entry in record.candidates:
        if entry.tag == record.chosen:
            entries += entry.ballots(plan.voting_seeds).values()
    entries += record.batch
    entries += [record.own_baseline] if record.own_baseline else []
    runs = {entry.run_dir: RunFiles(plan.out / entry.run_dir, entry.slug) for entry in entries}
    runs = {name: files for name, files in runs.items() if files.policy.exists()}
    if not runs:
        return []
    loaded = [policy_file_data(read_policy(files.policy)) for files in runs.values()]
    env, seeds = MesaShadowField(plan.run.sensor_tier), range(SEED_START, SEED_START + SEEDS)
    played = play_battery(env, loaded[0][0], [data for _, data in loaded], seeds)
    records = []
    for (name, files), battery in zip(runs.items(), played, strict=True):
        _write(files, battery)
        records.append(_means(name, battery))
    return records


def _write(files: RunFiles, battery: Battery) -> None:
    """Write a row per episode: without an edit, then with each channel's."""
    count = len(battery.seeds)
    sides = [battery.unedited, *(battery.edited.take(place) for place in range(len(CHANNELS)))]
    last = [side.positions[:, -1].astype(np.float64) for side in sides]
    columns = {
        "channel": np.repeat([UNEDITED, *CHANNELS], count),
        "seed": np.tile(battery.seeds, len(sides)),
        "steps": np.concatenate([side.steps for side in sides]),
        "success": np.concatenate([side.success for side in sides]).astype(int),
        "terminalAlignment": np.concatenate([side.alignment for side in sides]).astype(float),
        "terminalX": np.concatenate([place[:, 0] for place in last]),
        "terminalY": np.concatenate([place[:, 1] for place in last]),
        "actionResponseL2": np.concatenate([np.full(count, np.nan), *battery.action_response]),
    }
    write_table(files.battery, columns, may_lack=["actionResponseL2"])


def _means(name: str, battery: Battery) -> BatteryRecord:
    told = label_figures(battery)
    return BatteryRecord(
        run_dir=name,
        seeds=len(battery.seeds),
        success_count=int(battery.unedited.success.sum()),
        mean_terminal_alignment=told.alignment,
        old_basin_preference=told.old_basin_preference,
        action_response={c: None if math.isnan(x) else x for c, x in told.responses.items()},
        label=label(told),
    )
