"""Prometheus' text format: figures into the bytes of a file, and back. Which figures there are is not known here.

The only module that knows prometheus-client. Importing it costs memory, so that is left to who writes such a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

Samples = Sequence[tuple[Mapping[str, str], float]]
"""Values, each with its labels."""
Figure = tuple[str, str, Samples]
"""A metric: its name, which ends in `_total` if it only grows, what it tells, and its values."""
Key = tuple[str, tuple[tuple[str, str], ...]]
"""What a value is found by: the name of the metric, and names and values of its labels, sorted."""


def encode(figures: Sequence[Figure]) -> bytes:
    """Return the file."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(figures))
    return generate_latest(registry)


def parse(raw: bytes) -> dict[Key, float]:
    """Read the values of a file.

    Raises:
        ValueError: it is none.
    """
    try:
        families = list(text_string_to_metric_families(raw.decode()))
    except IndexError as error:  # of older releases of the library
        raise ValueError(f"not Prometheus' text format: {error}") from error
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


class _Collector(Collector):
    """What a registry asks."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for name, told, samples in self._figures:
            metric = Metric(name.removesuffix("_total"), told, "counter" if name.endswith("_total") else "gauge")
            for labels, value in samples:
                metric.add_sample(name, {label: _sayable(text) for label, text in labels.items()}, value)
            yield metric


def _sayable(text: str) -> str:
    """Write as an escape what UTF-8 cannot say, as a name in a state file may have it."""
    return text.encode(errors="backslashreplace").decode()
