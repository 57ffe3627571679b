"""What the service does is what its OpenAPI description says, for requests that fit it and for those that do not."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from small_service import Place, identity

EXAMPLES = 15  # of each address and kind of request


@pytest.mark.filterwarnings("ignore")  # of what the library uses
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_all_that_is_answered_is_documented(place: Place, mode: GenerationMode) -> None:
    with place.opened() as (client, _):
        schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
        seen: set[int] = set()
        tried = 0
        for found in schema.get_all_operations():
            operation = found.ok()
            raw = operation.definition.raw
            if mode == GenerationMode.NEGATIVE and not raw.get("parameters") and "requestBody" not in raw:
                continue  # nothing can be wrong
            strategy = operation.as_strategy(generation_mode=mode)

            @given(case=strategy)
            @settings(
                max_examples=EXAMPLES,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def holds(case: Any) -> None:
                nonlocal tried
                if case.path_parameters:  # what exists is found by nobody's chance
                    known = {"network": place.free, "bundle": identity(place.shared)}
                    if tried % 2 and mode == GenerationMode.POSITIVE:
                        case.path_parameters |= {n: v for n, v in known.items() if n in case.path_parameters}
                if tried % 2 and mode == GenerationMode.POSITIVE and isinstance(case.body, dict):
                    case.body |= {"network": place.own, "count": 8, "seed": tried}
                tried += 1
                response = case.call(headers=place.heads["ada"])
                case.validate_response(response)
                seen.add(response.status_code)

            holds()
        assert tried > 15 * EXAMPLES / 2
        assert ({200, 202, 404} if mode == GenerationMode.POSITIVE else {422}) <= seen, seen
        assert not {each for each in seen if each >= 500}
