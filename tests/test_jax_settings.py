"""JAX's settings: what is not as JAX has it by itself is told, from wherever it comes."""

import os
import subprocess
import sys

import jax
import pytest

from pathb_jax.system import jax_settings, provenance

SELECT = (
    "from pathb_jax.system import backend, jax_settings\n"
    "backend.select_backend('cpu', host_devices=2)\n"
    "{more}\n"
    "print(jax_settings.changed_settings())\n"
)


def told(more: str = "", **variables: str) -> dict:
    """Return what a fresh process tells, where JAX starts with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    said = subprocess.run(
        [sys.executable, "-c", SELECT.format(more=more)],
        env={**kept, "JAX_PLATFORMS": "cpu", **variables},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return eval(said)


def test_what_the_program_sets_itself_and_what_is_for_people_is_not_told(tmp_path):
    variables = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_TRACEBACK_FILTERING": "off",
        "JAX_LOG_COMPILES": "1",
        "JAX_NUM_CPU_DEVICES": "3",
    }
    assert told(**variables) == {}


def test_environment_variables_are_told():
    variables = {
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
    }
    assert told(**variables) == {
        "jax_threefry_partitionable": False,
        "jax_disable_most_optimizations": True,
        "jax_enable_x64": True,
        "jax_default_prng_impl": "rbg",
    }
    assert told(JAX_ENABLE_X64="0", JAX_DEFAULT_PRNG_IMPL="threefry2x32") == {}


def test_what_code_sets_is_told():
    more = "import jax; jax.config.update('jax_numpy_dtype_promotion', 'strict')"
    assert told(more) == {"jax_numpy_dtype_promotion": "strict"}


def test_it_is_part_of_the_environment():
    before = provenance.environment()
    with jax.threefry_partitionable(False):
        now = provenance.environment()
    name = "jax_threefry_partitionable"
    (difference,) = provenance.environment_differences(before, now)
    assert difference == f"backend.jax_config.{name}: None -> False"
    assert provenance.departures(now) == [
        *provenance.departures(before),
        f"{name}: default -> False",
    ]


@pytest.mark.parametrize("name", jax_settings._ELSEWHERE)
def test_every_setting_left_out_is_there(name):
    names = jax.config.values
    assert [n for n in names if n == name or (name[-1] == "*" and n.startswith(name[:-1]))]
