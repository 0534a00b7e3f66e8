"""Which machine fits which job."""

from __future__ import annotations

import pytest

from pipelines.domain.machines import ANYWAY_BYTES, Has, Needs, lacking, memory_of

GPU_BOX = Has(("gpu",), False, gpus=1, cores=8, memory_bytes=64 * 2**30)


@pytest.mark.parametrize(
    ("needs", "has", "said"),
    [
        (Needs("gpu", gpu=True, cores=8, memory_bytes=64 * 2**30), GPU_BOX, []),
        (Needs("cpu"), GPU_BOX, ["queue cpu"]),
        (Needs("gpu", gpu=True), Has(("gpu",), False, cores=8), ["GPU"]),
        (Needs("gpu", cores=9), GPU_BOX, ["cores"]),
        (Needs("gpu", memory_bytes=64 * 2**30 + 1), GPU_BOX, ["memory"]),
        (Needs("gpu", trusted=True), GPU_BOX, ["trust"]),
        (Needs("cpu", gpu=True, trusted=True), Has((), False, cores=1), ["queue cpu", "trust", "GPU"]),
    ],
)
def test_a_machine_fits_a_job_or_the_words_say_what_it_lacks(needs: Needs, has: Has, said: list[str]) -> None:
    assert lacking(needs, has) == said


@pytest.mark.parametrize("value", ["many", None, True, -3, 1.5, [1], {"a": 1}])
def test_a_number_that_is_none_counts_as_nothing(value: object) -> None:
    has = Has.parse(["gpu"], False, {"cores": value, "memory_bytes": value, "gpus": value if value != [1] else 1})

    assert (has.cores, has.memory_bytes, has.gpus) == (0, 0, 0)


def test_a_training_is_taken_to_need_more_memory_than_an_evaluation_of_the_same_weights() -> None:
    assert ANYWAY_BYTES < memory_of("evaluate", 10**9) < memory_of("build", 10**9) < memory_of("train", 10**9)
