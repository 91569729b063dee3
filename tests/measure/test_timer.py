"""Which kernels an OpenBLAS takes that does not know the processor."""

import os
import types

import pytest

from measure import timer, turns
from paper import race
from training.run import TrainingError

VARIABLE = "OPENBLAS_CORETYPE"


@pytest.fixture
def take(monkeypatch):
    """use_blas_kernels after OpenBLAS has taken those of `core` on a processor
    with these flags; the variable then."""

    def take(core, flags, chosen=None, use=timer.use_blas_kernels):
        if chosen:
            monkeypatch.setenv(VARIABLE, chosen)
        else:
            monkeypatch.delenv(VARIABLE, raising=False)
        library = types.SimpleNamespace(openblas_get_corename=lambda: core)
        monkeypatch.setattr(timer.ctypes, "CDLL", lambda _: library)
        monkeypatch.setattr(timer, "cpu_flags", lambda: set(flags.split()))
        use()
        return os.environ.pop(VARIABLE, None)

    # What is set without monkeypatch's knowledge is taken back too.
    monkeypatch.setenv(VARIABLE, "")
    return take


AVX512 = "avx avx2 fma avx512f avx512dq avx512bw avx512vl"


def test_unknown_processor(take):
    assert take(b"Prescott", AVX512) == "SkylakeX"
    assert take(b"Prescott", "avx avx2 fma avx512f") == "Haswell"
    assert take(b"Prescott", "sse3") is None


def test_known_processor_and_the_users_choice(take):
    assert take(b"Zen", AVX512) is None
    assert take(b"Prescott", AVX512, chosen="Nehalem") == "Nehalem"


def test_race_with_stock_caffe_is_fair(take, monkeypatch, capsys):
    def measure(*_):
        raise TrainingError(f"{VARIABLE} is {os.environ.get(VARIABLE)}")

    monkeypatch.setattr(turns, "measure", measure)
    arguments = ["--profile", "quick", "mnist/conventional_0.5"]
    take(b"Prescott", AVX512, use=lambda: race.main(arguments))
    assert f"{VARIABLE} is SkylakeX" in capsys.readouterr().err
