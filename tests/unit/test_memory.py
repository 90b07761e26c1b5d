"""Sizes as people write them, and what a plan says of its parts."""

import pytest

from batchgnn.base.bytes import MemoryPlan, format_bytes, parse_bytes
from batchgnn.base.errors import ConfigError, MemoryPlanError


@pytest.mark.parametrize(
    ("text", "size"),
    [("8G", 8 << 30), ("512M", 512 << 20), ("1.5GiB", 3 << 29), ("1000", 1000), ("2kB", 2048)],
)
def test_sizes_are_read(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1G", "0", "8X", "1G2"])
def test_no_sizes_are_refused(text):
    with pytest.raises(ConfigError, match="write for example 512M"):
        parse_bytes(text)


def test_sizes_are_written():
    assert [format_bytes(n) for n in (0, 1023, 1536, 3 << 30, 5 << 40)] == [
        "0 B", "1023 B", "1.5 KiB", "3.0 GiB", "5.0 TiB",
    ]  # fmt: skip


def test_a_plan_names_its_largest_part():
    with pytest.raises(
        MemoryPlanError, match=r"3\.0 KiB.*use 2\.0 KiB.*part is b \(2\.0 KiB\)\. Do so\."
    ):
        MemoryPlan({"a": 1024, "b": 2048}).require(2048, "Do so.")
    MemoryPlan({"a": 1024}).require(1024, "")
