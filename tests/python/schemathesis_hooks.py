"""What a generator can't guess: models that run. Half of the generated requests ask for one of them."""

import json
import os

import schemathesis

MODELS = json.loads(os.environ["RUNNING_MODELS"])


def of(text: object) -> int:
    """A number that depends on a generated value only, so that runs can be repeated."""
    return sum(repr(text).encode())


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and "/audio/" in context.operation.path and of(body) % 2 == 0:
        body = {**body, "model": MODELS[of(body) // 2 % len(MODELS)]}
    return body


@schemathesis.hook
def map_path_parameters(context, parameters):
    if parameters and "uid" in parameters and context.operation.method != "delete" and of(parameters) % 2 == 0:
        parameters = {**parameters, "uid": MODELS[0]}
    return parameters
