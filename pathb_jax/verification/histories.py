"""A run's history and evaluations on the way, by its manifest and its last checkpoint."""

import math
from collections.abc import Mapping

import numpy as np

from pathb_jax.runs.tables import EARLIER_COLUMNS, HISTORY, Table, columns, length
from pathb_jax.store.measures import measure_of
from pathb_jax.verification.raw_files import numbers_of, rows_of
from pathb_jax.verification.told_run import DIFFERS, ToldRun

History = dict[str, list[float]]
Evaluations = list[dict[str, float]]

OF_EPISODES = ("episode_return", "episode_length", "episode_success")
"""Columns of the history that are empty where no episode ended."""


def check_history(run: ToldRun) -> History:
    """Read the history; compare it with the manifest.

    Raises:
        UnreadableError: it is missing or broken.
    """
    path, manifest, findings = run.files.history, run.manifest, run.findings
    table = rows_of(path)
    history = _figures(run, table)
    rows, batch = len(table), run.batch_size
    planned, diverged = run.config["schedule"]["updates"], manifest["diverged"]
    if run.completed:
        findings.same(run.at(path, "rows"), rows, planned)
    else:
        last = diverged["update"] - manifest["first_update"]
        # a run that diverged in its evaluation had a whole update before
        findings.hold(run.at(path, "rows"), rows in (last - 1, last), f"{rows} of {last} rows")
    first, steps = manifest["first_update"], manifest["env_steps"]
    where = run.at(run.files.manifest)
    findings.same(f"{where}: update", manifest["update"], first + rows)
    expected = {
        "update": [first + k for k in range(1, rows + 1)],
        "env_steps": [steps - (rows - k) * batch for k in range(1, rows + 1)],
    }
    for name, column in expected.items():
        findings.hold(run.at(path, name), history[name] == column, "it does not count on")
    if first == 0:
        findings.same(f"{where}: env_steps", steps, rows * batch)
    findings.same(f"{where}: train_seconds", manifest["train_seconds"], seconds_of(history))
    return history


def seconds_of(history: Mapping[str, list[float]]) -> float:
    """Return how long the training took."""
    return history["wall_seconds"][-1] if history["wall_seconds"] else 0.0


def _figures(run: ToldRun, table: list[dict[str, str]]) -> History:
    """Read the history's columns; those of a run by an earlier program may be fewer."""
    path, always = run.files.history, EARLIER_COLUMNS[HISTORY]
    given = [name for name in columns(HISTORY) if name in always or (table and name in table[0])]
    history = {name: numbers_of(path, table, name, name in OF_EPISODES) for name in given}
    for name in filter(history.__contains__, OF_EPISODES):
        pairs = zip(history[name], history["episode_done_rate"], strict=True)
        wrong = [row for row, (x, rate) in enumerate(pairs) if math.isnan(x) != (rate == 0)]
        if wrong:
            where = run.at(path, f"line {wrong[0] + 2}, {name}")
            run.findings.problem(where, "it has to be told exactly where episodes ended")
    return history


def evaluations_of(run: ToldRun) -> Evaluations:
    """Read the evaluations on the way.

    Raises:
        UnreadableError: they are missing or broken.
    """
    path = run.files.evaluations
    table = rows_of(path)
    read = {name: numbers_of(path, table, name) for name in measure_of(run.env).evaluations}
    return [{name: column[i] for name, column in read.items()} for i in range(len(table))]


def compare_history(run: ToldRun, history: Mapping[str, list[float]], saved: Table) -> None:
    """Compare the history with that of the last checkpoint, figure by figure."""
    path, findings = run.files.history, run.findings
    rows, saved_rows = len(history["update"]), length(saved)
    enough = saved_rows == rows if run.completed else saved_rows <= rows
    findings.hold(run.at(path, "rows"), enough, f"{rows} rows, the checkpoint has {saved_rows}")
    if not (count := min(saved_rows, rows)):
        return
    for name, column in saved.items():
        recorded, true = np.array(history[name][:count], np.float64), column[:count]
        differs = (recorded != true) & ~(np.isnan(recorded) & np.isnan(true))
        row = int(np.argmax(differs))  # the first that differs, or 0
        what = f"{recorded[row]!r} is told, the last checkpoint has {true[row]!r}"
        where = run.at(path, f"line {row + 2}, {name}")
        findings.figure(where, not differs.any(), what)


def compare_evaluations(run: ToldRun, evaluations: Evaluations, saved: Table) -> None:
    """Compare the evaluations on the way with those of the last checkpoint."""
    same = all(
        [row[name] for row in evaluations] == column.tolist() for name, column in saved.items()
    )
    run.findings.hold(run.at(run.files.evaluations), same, DIFFERS)
