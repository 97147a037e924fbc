"""The cost model's arithmetic, by hand."""

import pytest
from cost_model import GPUS, PRECISIONS, Device, Flags, predict
from kernels import Kernel

from pathb_jax.errors import InputError

DEVICE = Device(launch=1e-6, flops=1e12, bandwidth=1e9)


def test_each_kernel_takes_the_longest_of_its_times():
    found = [
        Kernel("tiny", times=10, flops=0, bytes=8),
        Kernel("product", times=2, flops=3 * 10**6, bytes=1000),
        Kernel("move", times=4, flops=10, bytes=5000),
    ]
    predicted = predict(found, DEVICE)
    assert predicted.launch == pytest.approx(10e-6)
    assert predicted.products == pytest.approx(2 * 3e-6)
    assert predicted.memory == pytest.approx(4 * 5e-6)
    assert predicted.seconds == pytest.approx(36e-6)
    assert predicted.dominant == "memory 56%"


def test_lower_precision_is_never_slower():
    for published in GPUS.values():
        rates = [published.tera_flops[precision] for precision in PRECISIONS]
        assert rates == sorted(rates)


@pytest.mark.parametrize(
    "flags", [Flags(tiers=()), Flags(seconds=0.0), Flags(launch_microseconds=-1.0), Flags(rounds=0)]
)
def test_nothing_to_predict_is_refused(flags):
    with pytest.raises(InputError):
        flags.check()
