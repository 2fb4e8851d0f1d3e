"""An OpenAI-compatible endpoint that answers everything after a fixed time.

    python -m benchmarks.judge_server --latency 0.2

Prints its port, then serves until its input ends.
"""

import argparse
import asyncio
import json
import sys

from aiohttp import web

REASONS = "The first answer names the right place and says why; the second one is vague. "


class Endpoint:
    """Counts what it is asked, and answers with one of the offered verdicts."""

    def __init__(self, latency: float) -> None:
        """Answer after ``latency`` seconds."""
        self._latency = latency
        self._calls = 0
        self._now = self._most = 0

    async def complete(self, request: web.Request) -> web.Response:
        """Answer a chat completion."""
        self._now += 1
        self._most = max(self._most, self._now)
        body = await request.json()
        text = body["messages"][-1]["content"]
        await asyncio.sleep(self._latency)
        self._now -= 1
        self._calls += 1
        verdict = "A" if len(text) % 2 else "B"
        answer = f"{REASONS}\nVERDICT: {verdict}"
        if "response_format" in body:
            answer = json.dumps({"reasons": REASONS, "verdict": verdict})
        return web.json_response(
            {
                "id": f"call-{self._calls}",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": answer},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 500, "completion_tokens": 20, "total_tokens": 520},
            }
        )

    async def count(self, _request: web.Request) -> web.Response:
        """Say how many calls were answered and how many ran at once at most; start again."""
        found = {"calls": self._calls, "most_at_once": self._most}
        self._calls = self._most = 0
        return web.json_response(found)


async def serve(latency: float) -> None:
    """Serve until the standard input ends."""
    endpoint = Endpoint(latency)
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/chat/completions", endpoint.complete)
    app.router.add_get("/count", endpoint.count)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    asyncio.run(serve(parser.parse_args().latency))
