"""Where it computes: asked for, there or not, and what is reported."""

import jax
import pytest

from pathb_jax import backend
from pathb_jax.errors import InputError


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
    assert backend.device_report()["platform"] == "cpu"


def test_products_are_computed_in_float32():
    jax.config.update("jax_default_matmul_precision", "bfloat16")
    backend.select_backend("auto")
    assert jax.config.jax_default_matmul_precision == "float32"


def test_the_report_names_versions_that_are_installed():
    report = backend.device_report()
    assert report["versions"]["jax"] == jax.__version__
    assert report["device_count"] >= 1
    assert report["device_kind"]


def test_the_source_is_this_checkout_or_says_nothing(repository):
    source = backend.source_version()
    if (repository / ".git").exists():
        assert len(source["commit"]) == 40
        assert source["dirty"] in (True, False)
    else:
        assert source["commit"] is None
    assert source["version"]
