"""An accelerator's hour: everything worth measuring on a borrowed device, in one command.

    python benchmarks/accelerator.py --json accelerator.json
    python benchmarks/accelerator.py --smoke --json smoke.json        # reduced sizes, any device

Each part is a process of its own (compiler flags hold for a whole process) and takes less than
--part-seconds. Its figures are in the file as soon as it has ended, and a part that is there is not
measured again: the same command goes on after a stop, on another day too, as long as the program is
the same; give each device a file of its own. The parts stand in the order of their worth, so that
an hour cut short has measured what matters most. Training rates are environment steps per second of
all runs on the device together; "predicted" is cost_model.py's formula for the device (or for an
H100, if it is in no table), from published rates. Nothing here changes a device's settings.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from harness import median_and_range
from rich.console import Console
from rich.table import Table

from pathb_jax.cli import command, exit_codes
from pathb_jax.cli.output_files import check_writable
from pathb_jax.config import Backend, DefaultHint, MatmulPrecision, Tier, TrainConfig
from pathb_jax.errors import InputError
from pathb_jax.store.atomic import write_atomically
from pathb_jax.system import backend, source

FORMAT = "pathb-accelerator-v1"
Kind = Literal[
    "device", "train", "rejax", "predict", "environments", "evaluation", "reproducibility"
]


@dataclasses.dataclass(frozen=True)
class Part:
    """One process's work."""

    kind: Kind
    tier: Tier = "Small"
    runs: int = 1
    precision: MatmulPrecision = "float32"
    deterministic: bool = True
    command_buffers: bool = True

    @property
    def name(self) -> str:
        """How the file and --parts call it."""
        if self.kind not in ("train", "rejax"):
            return self.kind
        settings: list[str] = [self.precision] if self.precision != "float32" else []
        settings += [] if self.deterministic else ["no-deterministic"]
        settings += [] if self.command_buffers else ["no-command-buffers"]
        return "-".join([self.kind, self.tier, f"x{self.runs}", *settings])

    def xla_flags(self) -> str:
        """Compiler flags of its process beside those of the user."""
        given = os.environ.get("XLA_FLAGS", "")
        return given if self.command_buffers else f"{given} --xla_gpu_enable_command_buffer="


def _parts() -> tuple[Part, ...]:
    alone = [Part("train", tier) for tier in ("Large", "Medium", "Small")]
    small = [Part("train", "Small", runs) for runs in (64, 256, 16, 4)]
    larger = [Part("train", tier, runs) for tier in ("Large", "Medium") for runs in (4, 16)]
    base = (Part("train", "Large"), Part("train", "Small", 64), Part("train", "Medium", 4))
    settings: tuple[dict[str, Any], ...] = (
        {"precision": "tf32"},
        {"precision": "bfloat16"},
        {"deterministic": False},
        {"command_buffers": False},
    )
    changed = [dataclasses.replace(part, **setting) for setting in settings for part in base]
    peers = [Part("rejax", part.tier, part.runs) for part in (*base, Part("train"))]
    checks: tuple[Kind, ...] = ("environments", "evaluation", "reproducibility")
    return (
        Part("device"),
        Part("predict"),
        *alone,
        *small,
        *larger,
        *(Part(kind) for kind in checks),
        *changed,
        *peers,
    )


PARTS = _parts()


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to measure, and where to keep it."""

    json: Path = Path("results/accelerator.json")
    """All figures; parts that it holds already are not measured again."""
    parts: tuple[str, ...] = tuple(part.name for part in PARTS)
    """Which parts."""
    smoke: bool = False
    """Reduced sizes, at most two runs at once: tries the command itself, figures mean nothing."""
    rounds: int = 5
    """Measurements of each figure; medians are shown."""
    seconds: float = 3.0
    """What one measurement takes, roughly."""
    part_seconds: float = 480.0
    """A part that takes longer is stopped and recorded as such."""
    backend: Backend = "auto"
    """Where to compute. Anything but auto must be there: there is no silent fallback."""
    run_part: Annotated[str | None, DefaultHint("all of --parts, each in its own")] = None
    """Measure this part in this process and write its figures alone to --json: what the command
    starts for each part."""


def shapes(part: Part, smoke: bool) -> TrainConfig:
    """Return the pinned shapes of a part's runs, or small ones of the same network."""
    config = TrainConfig(tier=part.tier, matmul_precision=part.precision)
    if not smoke:
        return config
    return dataclasses.replace(config, batch_envs=8, rollout_length=8, minibatch_size=32, epochs=1)


def main() -> int:
    flags = command.parse(Flags, None, __doc__ or "")
    by_name = {part.name: part for part in PARTS}
    if unknown := [name for name in flags.parts if name not in by_name]:
        raise InputError("--parts", unknown[0], f"choose of {', '.join(by_name)}")
    if flags.rounds < 1:
        raise InputError("--rounds", flags.rounds, "give 1 or more")
    if flags.run_part is not None:
        if flags.run_part not in by_name:
            raise InputError("--run-part", flags.run_part, f"choose one of {', '.join(by_name)}")
        return run_here(by_name[flags.run_part], flags)
    check_writable("--json", flags.json.parent)
    content = opened(flags)
    for name in flags.parts:
        part = by_name[name]
        if "figures" in content["parts"].get(name, {}):
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        content["parts"][name] = measured(part, flags)
        write_atomically(flags.json, json.dumps(content, indent=1) + "\n")
    show(content)
    failed = [name for name in flags.parts if "failed" in content["parts"][name]]
    return exit_codes.FAILURE if failed else 0


def opened(flags: Flags) -> dict[str, Any]:
    """Return what the file holds, or a file's beginning.

    Raises:
        InputError: it holds something else, or figures of other sizes or another program.
    """
    program = source.source_version()
    fresh: dict[str, Any] = {"format": FORMAT, "smoke": flags.smoke, "source": program, "parts": {}}
    if not flags.json.exists():
        return fresh
    try:
        content = json.loads(flags.json.read_text())
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError("--json", str(flags.json), f"it holds no {FORMAT}; choose another name")
    same_program = content["source"].get("program") == program["program"]
    if content["smoke"] != flags.smoke or not same_program:
        allowed = "it holds figures of other sizes or another program; choose another name"
        raise InputError("--json", str(flags.json), allowed)
    return content


def measured(part: Part, flags: Flags) -> dict[str, Any]:
    """Measure a part in a process of its own: {"figures": ...} or {"failed": why}."""
    with tempfile.TemporaryDirectory(prefix="pathb-accelerator-") as folder:
        result = Path(folder) / "part.json"
        arguments = ["--run-part", part.name, "--json", str(result), "--backend", flags.backend]
        arguments += ["--rounds", str(flags.rounds), "--seconds", str(flags.seconds)]
        arguments += ["--smoke"] if flags.smoke else []
        environment = {**os.environ, "XLA_FLAGS": part.xla_flags()}
        root = Path(__file__).resolve().parent.parent
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        try:
            done = subprocess.run(
                [sys.executable, str(Path(__file__).resolve()), *arguments],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=flags.part_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"not done after {flags.part_seconds:.0f} s"}
        if done.returncode != 0 or not result.exists():
            return {"failed": done.stderr.strip()[-1000:] or f"exit status {done.returncode}"}
        return {"figures": json.loads(result.read_text())}


def run_here(part: Part, flags: Flags) -> int:
    """Measure a part in this process."""
    where: Backend = "cpu" if part.kind == "predict" else flags.backend
    if part.kind == "predict":
        os.environ["JAX_PLATFORMS"] = "cpu"
    backend.select_backend(where, deterministic=part.deterministic)
    from accelerator_parts import measure  # starts JAX

    figures = measure(part, flags.smoke, flags.rounds, flags.seconds)
    flags.json.write_text(json.dumps(figures))
    return 0


def show(content: Mapping[str, Any]) -> None:
    """Print one row per part."""
    parts = content["parts"]
    kind = "unknown device"
    if "figures" in parts.get("device", {}):
        kind = parts["device"]["figures"]["report"]["device_kind"]
    predicted = parts.get("predict", {}).get("figures", {}).get("env_steps_per_second", {})
    table = Table("part", "median", "range", "predicted", "compile, s", title=kind)
    for name, result in parts.items():
        if "failed" in result:
            table.add_row(name, "failed", result["failed"].splitlines()[-1][:80], "", "")
            continue
        figures = result["figures"]
        rates = figures.get("env_steps_per_second")
        if not isinstance(rates, list):
            table.add_row(name, *_others(figures), "", "")
            continue
        median, spread = median_and_range(rates)
        compiled = figures.get("compile_seconds")
        table.add_row(
            name,
            median,
            spread,
            _prediction(predicted.get(name, {}), kind),
            "" if compiled is None else f"{compiled:.1f}",
        )
    Console(highlight=False, soft_wrap=True, width=120).print(table)


def _others(figures: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a part that is no training has found, in a line."""
    if "million_steps_per_second" in figures:
        best = {n: statistics.median(v) for n, v in figures["million_steps_per_second"].items()}
        return f"{max(best.values()):,.1f} M", ", ".join(f"{n}: {v:,.1f}" for n, v in best.items())
    if "seeds" in figures:
        times = {tier: statistics.median(v) for tier, v in figures["seconds"].items()}
        text = ", ".join(f"{tier}: {seconds:.3f} s" for tier, seconds in times.items())
        return f"{figures['seeds']:,} seeds", text
    if "exit_status" in figures:
        return f"exit {figures['exit_status']}", ""
    return "done", ""


def _prediction(predicted: Mapping[str, float], kind: str) -> str:
    if not predicted:
        return ""
    chosen = next((gpu for gpu in predicted if gpu.split()[0] in kind), "H100 SXM")
    return f"{predicted[chosen]:,.0f} ({chosen})"


if __name__ == "__main__":
    sys.exit(command.run(main))
