"""How fast a service answers many clients at once, `synth serve` or `classify serve`.

    python benchmarks/service_load.py URL [--token TOKEN] [--requests 2000] [--concurrency 50]
        [--method POST --body FILE --type image/png]

Each of the clients sends its next request when the last one was answered, over a connection that it keeps. Milliseconds
are from sending to the last byte of the answer; all but 2xx are errors.
"""

import argparse
import asyncio
import json
import ssl
import statistics
import time
from collections import Counter
from pathlib import Path

import httpx

PERCENTILES = (50, 95, 99)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--token")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--method", default="GET")
    parser.add_argument("--body", type=Path)
    parser.add_argument("--type", default="application/json")
    options = parser.parse_args()
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    content = options.body.read_bytes() if options.body else None
    if content is not None:
        headers["Content-Type"] = options.type
    left, took, answers = iter(range(options.requests)), list[float](), Counter[str]()

    async def client() -> None:
        # A pool of its own, of one connection: httpx looks through a common one at every request.
        async with httpx.AsyncClient(timeout=120, verify=context) as http:
            for _ in left:
                begun = time.perf_counter()
                try:
                    answer = await http.request(options.method, options.url, headers=headers, content=content)
                    answers[str(answer.status_code)] += 1
                except httpx.HTTPError as error:
                    answers[type(error).__name__] += 1
                took.append(1000 * (time.perf_counter() - begun))

    context = ssl.create_default_context()  # made once: it takes longer than many requests
    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(options.concurrency)))
    seconds = time.perf_counter() - begun
    print(json.dumps(figures(took, answers, seconds)))


def figures(took: list[float], answers: Counter[str], seconds: float) -> dict[str, object]:
    """Return what was measured; percentiles are interpolated between answers."""
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    errors = sum(count for status, count in answers.items() if not status.startswith("2"))
    shown = {f"p{percent}_ms": round(cuts[percent - 1], 1) for percent in PERCENTILES}
    return {
        "requests": len(took),
        **shown,
        "max_ms": round(max(took), 1),
        "requests_per_s": round(len(took) / seconds, 1),
        "errors": errors,
        "answers": dict(answers),
    }


if __name__ == "__main__":
    asyncio.run(main())
