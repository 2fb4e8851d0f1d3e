"""A real judge model on this machine behind an OpenAI-compatible chat endpoint.

    python examples/judge_server.py models/smollm2 [port]

Serves one Hugging Face folder in float32. Where a request has a JSON schema, the reply follows it:
free texts stay empty, and of the words that an ``enum`` allows the model's likeliest is said. That
is how a model too small to keep to a form can be asked at all; other requests are answered by
greedy decoding. `transformers serve`, vLLM and llama.cpp serve larger models the same way.
"""

import asyncio
import json
import sys
from typing import Any

import torch
from aiohttp import web
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache


class Speaker:
    """A model that keeps what it has read: calls with the same rubric read it once."""

    def __init__(self, folder: str) -> None:
        """Load a folder."""
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._read: list[int] = []
        self._cache = DynamicCache()

    def reply(self, request: dict[str, Any]) -> tuple[str, int]:
        """Return the reply to a request and how many tokens were read."""
        asked = self.tokenizer.apply_chat_template(
            request["messages"], tokenize=False, add_generation_prompt=True
        )
        form = request.get("response_format", {}).get("json_schema", {}).get("schema")
        with torch.inference_mode():
            if form:
                return self._fill(asked, form["properties"]), len(self._tokens(asked))
            return self._speak(asked, request.get("max_tokens", 256)), len(self._tokens(asked))

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _after_last(self, tokens: list[int], count: int = 1) -> torch.Tensor:
        """Return the log-probabilities after each of the last tokens, shape (count, words)."""
        same, most = 0, min(len(tokens) - count, len(self._read))
        while same < most and tokens[same] == self._read[same]:
            same += 1
        if len(self._read) > same:
            self._cache.crop(same - len(self._read))
        ids = torch.tensor([tokens[same:]])
        logits = self.model(input_ids=ids, past_key_values=self._cache, use_cache=True).logits
        self._read = tokens
        return torch.log_softmax(logits[0, -count:], dim=-1)

    def _fill(self, asked: str, properties: dict[str, Any]) -> str:
        said: dict[str, str] = {}
        for name, kind in properties.items():
            words = kind.get("enum", [""])
            opening = json.dumps({**said, name: ""})[:-2]
            said[name] = max(words, key=lambda word: self._likelihood(asked + opening, word))
        return json.dumps(said)

    def _likelihood(self, before: str, word: str) -> float:
        context, tokens = self._tokens(before), self._tokens(word + '"')
        table = self._after_last([*context, *tokens], len(tokens) + 1)[:-1]
        return sum(float(row[token]) for row, token in zip(table, tokens, strict=True))

    def _speak(self, asked: str, most: int) -> str:
        tokens = self._tokens(asked)
        said: list[int] = []
        for _ in range(most):
            following = int(self._after_last([*tokens, *said]).argmax())
            if following == self.tokenizer.eos_token_id:
                break
            said.append(following)
        return self.tokenizer.decode(said, skip_special_tokens=True)


def serve(folder: str, port: int) -> None:
    """Answer one request after the other until interrupted."""
    speaker, turn = Speaker(folder), asyncio.Lock()

    async def chat(request: web.Request) -> web.Response:
        asked = await request.json()
        async with turn:
            text, read = await asyncio.to_thread(speaker.reply, asked)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": read, "completion_tokens": len(speaker.tokenizer(text).input_ids)}
        return web.json_response({"model": asked["model"], "choices": [choice], "usage": usage})

    application = web.Application()
    application.router.add_post("/v1/chat/completions", chat)
    web.run_app(application, host="127.0.0.1", port=port)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
