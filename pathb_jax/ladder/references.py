"""Reference controllers on a ladder's evaluation sets: what is possible there at all."""

from pathb_jax.envs.shadow_field import MesaShadowField
from pathb_jax.evaluation.evaluator import evaluate
from pathb_jax.evaluation.policies import ControllerName, ReferenceController
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.store.record_schema import ReferenceRecord
from pathb_jax.store.run_records import SetSummary


def play_references(plan: LadderPlan) -> list[ReferenceRecord]:
    """Play the Oracle, which sees the true gradient, and HC-Signature, which sees what runs do."""
    tiers: dict[ControllerName, str] = {
        "oracle": "privileged-field",
        "hc-signature": plan.run.sensor_tier,
    }
    references = []
    for name, tier in tiers.items():
        env = MesaShadowField(tier)
        sets = evaluate(
            env,
            ReferenceController(name),
            None,
            env.default_params,
            plan.protocol.seed_sets,
            plan.protocol.evaluation.seeds,
        )
        summaries = {
            str(result.seed_start): SetSummary(
                success_count=result.success_count,
                seeds=result.seeds,
                success_rate=result.success_rate,
                interval=[*clopper_pearson(result.success_count, result.seeds)],
                mean_terminal_alignment=result.mean_terminal_alignment,
                mean_steps=result.mean_steps,
            )
            for result in sets
        }
        references.append(ReferenceRecord(name=name, sensor_tier=tier, summaries=summaries))
    return references
