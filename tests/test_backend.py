"""Where it computes: asked for, there or not, and what is reported."""

import contextlib
import importlib.metadata
import os
import subprocess
import sys
import types

import jax
import pytest

from pathb_jax.errors import InputError
from pathb_jax.system import backend, provenance


def has(platform):
    try:
        return bool(jax.devices(platform))
    except RuntimeError:
        return False


@pytest.fixture(autouse=True)
def _restore():
    before = jax.config.jax_default_device, jax.config.jax_default_matmul_precision
    yield
    jax.config.update("jax_default_device", before[0])
    jax.config.update("jax_default_matmul_precision", before[1])


@pytest.mark.parametrize(("platform", "extras"), [("gpu", ["cuda12", "cuda13"]), ("tpu", ["tpu"])])
def test_what_is_not_there_is_refused(platform, extras):
    if has(platform):
        pytest.skip(f"there is a {platform}")
    with pytest.raises(InputError) as caught:
        backend.select_backend(platform)
    message = str(caught.value)
    assert message.startswith(f"--backend: '{platform}' is not allowed")
    assert jax.devices()[0].platform in message
    assert all(f"pathb-jax[{extra}]" in message for extra in extras)
    assert "\n" not in message


def test_cpu_is_always_there():
    backend.select_backend("cpu")
    assert jax.numpy.zeros(1).devices().pop().platform == "cpu"
    assert provenance.device_report()["platform"] == "cpu"


def test_products_are_computed_in_float32():
    jax.config.update("jax_default_matmul_precision", "bfloat16")
    backend.select_backend("auto")
    assert jax.config.jax_default_matmul_precision == "float32"


def run_apart(code, **environment):
    """Run code in a fresh interpreter: what is set before JAX starts can be set only there."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_C", "JAX_P", "XLA_F"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


def test_compiled_programs_are_kept_in_the_users_cache_folder(tmp_path):
    code = (
        "from pathb_jax.system import backend; backend.select_backend('cpu')\n"
        "import jax; jax.jit(lambda x: x + 1)(1.0)"
    )
    run_apart(code, XDG_CACHE_HOME=str(tmp_path))
    assert list(tmp_path.glob("pathb-jax/compiled/*/jit_*.program"))
    elsewhere = tmp_path / "elsewhere"
    own = {"XDG_CACHE_HOME": str(tmp_path / "other"), "JAX_COMPILATION_CACHE_DIR": str(elsewhere)}
    run_apart(code, **own)
    assert not (tmp_path / "other").exists()


def test_a_cache_folder_that_cannot_be_is_done_without(tmp_path):
    (tmp_path / "file").write_text("in the way")
    code = (
        "from pathb_jax.system import backend; backend.select_backend('cpu')\n"
        "import jax; print(jax.jit(lambda x: x + 1)(1.0))"
    )
    assert run_apart(code, XDG_CACHE_HOME=str(tmp_path / "file")) == ["2.0"]


@pytest.mark.parametrize(
    ("given", "deterministic", "expected"),
    [
        ("", True, "--xla_gpu_deterministic_ops=true"),
        ("", False, "--xla_gpu_deterministic_ops=false"),
        ("--xla_gpu_deterministic_ops=false", True, "--xla_gpu_deterministic_ops=false"),
    ],
)
def test_determinism_is_an_xla_flag_where_there_may_be_a_gpu(
    given, deterministic, expected, monkeypatch
):
    monkeypatch.setenv("XLA_FLAGS", given)
    monkeypatch.setattr(backend, "_has_started", lambda: False)
    backend.select_backend("auto", deterministic=deterministic)
    assert provenance.device_report()["xla_flags"] == given  # nothing but a CPU here
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ["xla_cuda"])
    backend.select_backend("cpu", deterministic=deterministic)
    assert provenance.device_report()["xla_flags"] == given
    backend.select_backend("auto", deterministic=deterministic)
    assert provenance.device_report()["xla_flags"] == expected


@pytest.mark.parametrize(
    ("started", "flags", "deterministic", "refused"),
    [
        (False, "", True, False),
        (False, "", False, False),
        (False, "--xla_gpu_deterministic_ops=false", True, True),
        (True, "", True, True),
        (True, "", False, False),
        (True, "--xla_gpu_deterministic_ops=true", True, False),
        (True, "--xla_gpu_deterministic_ops", True, False),
        (True, "--xla_gpu_deterministic_ops=true", False, True),
        (True, "--xla_gpu_deterministic_ops=false", True, True),
    ],
)
def test_determinism_that_cannot_act_any_more_is_refused_on_a_gpu(
    started, flags, deterministic, refused, monkeypatch
):
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(backend, "_has_started", lambda: started)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ["xla_cuda"])
    gpu = types.SimpleNamespace(platform="gpu")
    monkeypatch.setattr(backend, "current_device", lambda: gpu)
    with pytest.raises(InputError) if refused else contextlib.nullcontext() as caught:
        backend.select_backend("auto", deterministic=deterministic)
    if caught is not None:
        assert str(caught.value).startswith(f"--deterministic: {deterministic} is not allowed")
    if started:
        assert os.environ["XLA_FLAGS"] == flags  # what would not act is not recorded


def test_jax_is_known_to_have_started():
    code = (
        "from pathb_jax.system import backend; import jax; print(backend._has_started())\n"
        "print(jax.config.jax_num_cpu_devices); jax.numpy.zeros(1); print(backend._has_started())"
    )
    assert run_apart(code) == ["False", "-1", "True"]


def test_the_report_names_versions_that_are_installed():
    report = provenance.device_report()
    assert report["versions"]["jax"] == jax.__version__
    assert report["device_count"] >= 1
    assert report["device_kind"]


@pytest.mark.parametrize(
    ("features", "bits", "options"),
    [
        ("fpu sse2 avx avx2 avx512f", 512, {"xla_cpu_prefer_vector_width": 512}),
        ("fpu sse2 avx avx2", 256, {}),
        ("fp asimd evtstrm", 128, {}),
        ("", None, {}),
    ],
)
def test_wide_vectors_are_preferred_where_there_are_some(features, bits, options, monkeypatch):
    monkeypatch.setattr(backend, "processor", lambda: {"model name": "x", "flags": features})
    assert provenance.device_report()["vector_bits"] == bits
    assert backend.compiler_options() == options
    compiled = jax.jit(lambda x: x + 1).lower(1.0).compile(backend.compiler_options())
    assert compiled(1.0) == 2.0
