"""What is said about a name that nothing has."""

import pytest

from trm_jax.names import nearest_names, unknown_name

KNOWN = ["int8", "int4_naive", "int4_calibrated", "fp32"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("int4_calibratd", "int4_calibrated"),
        ("INT8", "int8"),
        ("int4-naive", "int4_naive"),
        ("fp23", "fp32"),
    ],
)
def test_finds_what_was_meant(name, nearest):
    assert nearest_names(name, KNOWN)[0] == nearest


def test_says_kind_name_nearest_and_all():
    assert unknown_name("scheme", "fp23", KNOWN) == (
        "unknown scheme 'fp23'; did you mean 'fp32'? known: int8, int4_naive, int4_calibrated, fp32"
    )


def test_suggests_nothing_that_is_not_near():
    assert unknown_name("scheme", "zzz", KNOWN) == (
        "unknown scheme 'zzz'; known: int8, int4_naive, int4_calibrated, fp32"
    )
    assert unknown_name("scheme", "zzz", []) == "unknown scheme 'zzz'; known: none"
