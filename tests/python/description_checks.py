"""Checks what a server publishes about itself: the description of its API, and its measurements.

usage: description_checks.py ADDRESS
"""

import json
import sys
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.parser import text_string_to_metric_families


def get(address: str) -> tuple[str, str]:
    with urllib.request.urlopen(address, timeout=30) as response:
        return response.headers["content-type"], response.read().decode()


def main() -> None:
    address = sys.argv[1]
    kind, text = get(f"{address}/openapi.json")
    description = json.loads(text)
    mistakes = [f"{'/'.join(map(str, error.path))}: {error.message}" for error in OpenAPIV31SpecValidator(description).iter_errors()]
    operations = sum(len(item) for item in description["paths"].values())

    kind, text = get(f"{address}/metrics")
    families = {}
    samples = set()
    for family in text_string_to_metric_families(text):
        assert family.name not in families, f"{family.name} comes twice"
        families[family.name] = family.type
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, f"{key} comes twice"
            samples.add(key)
            assert sample.value == sample.value and sample.value >= 0, f"{key} is {sample.value}"
            assert family.type != "unknown" and family.documentation, f"{family.name} is not described"
    print(json.dumps({"mistakes": mistakes, "operations": operations, "metrics_type": kind, "families": families}))


main()
