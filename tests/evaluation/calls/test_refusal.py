"""What providers mean by their errors, in the words in which they send them."""

import json
from typing import Any

import pytest

from mixmerge.evaluation.calls.refusal import refusal

SENT = {
    "model": "m",
    "messages": [{"role": "user", "content": "flagged content policy, too long"}],
    "max_tokens": 512,
    "temperature": 0,
    "seed": 7,
    "response_format": {"type": "json_schema"},
    "stop": ["\n"],
}


def meant(status: int, body: Any) -> tuple[str, str | None]:
    text = body if isinstance(body, str) else json.dumps(body)
    parsed = None if isinstance(body, str) else body
    why = refusal(status, text, parsed, SENT)
    return why.kind, why.field


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


FILTERED = {
    "azure": (
        400,
        {
            "error": {
                "message": "The response was filtered due to the prompt triggering Azure OpenAI's "
                "content management policy. Please modify your prompt and retry.",
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
    ),
    "openai": (400, openai("Invalid prompt: flagged as violating.", code="invalid_prompt")),
    "openrouter": (
        403,
        {
            "error": {
                "code": 403,
                "message": "openai/x requires moderation on OpenAI. Your input was flagged.",
                "metadata": {"reasons": ["harassment"]},
            }
        },
    ),
    "xai": (403, {"code": "permission-denied", "error": "Content violates usage guidelines."}),
    "anthropic": (400, openai("Output blocked by content filtering policy")),
    "alibaba": (400, openai("Input data may contain x.", code="data_inspection_failed")),
    "zhipu": (400, {"error": {"code": "1301", "message": "系统检测到输入内容可能包含敏感内容"}}),
    "litellm": (400, openai("litellm.ContentPolicyViolationError: AzureException - no")),
}
TOO_LONG = {
    "openai": (
        400,
        openai(
            "This model's maximum context length is 8192 tokens. However, you requested 9000.",
            param="messages",
            code="context_length_exceeded",
        ),
    ),
    "vllm": (
        400,
        openai(
            "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum "
            "context length is 8192 tokens and your request has 8000 input tokens.",
            param="max_tokens",
            code=400,
        ),
    ),
    "old vllm": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested "
            "4600 tokens (4088 in the messages, 512 in the completion). Please reduce the length.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "sglang": (
        400,
        openai("The input (9000 tokens) is longer than the model's context length (8192 tokens)."),
    ),
    "llama.cpp": (
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
            }
        },
    ),
    "anthropic": (400, openai("prompt is too long: 210000 tokens > 200000 maximum")),
    "anthropic with its limit": (
        400,
        openai("input length and `max_tokens` exceed context limit: 199800 + 512 > 200000"),
    ),
    "google": (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (1200000) exceeds the maximum number of "
                    "tokens allowed (1048576).",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
    ),
    "mistral": (
        400,
        {"message": "Prompt contains 40000 tokens, too large for model with 32768 maximum"},
    ),
    "together": (
        422,
        openai("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097"),
    ),
    "proxy": (413, "<html>413 Request Entity Too Large</html>"),
    "plain": (400, "too long"),
}
FIELDS = {
    "openai": (
        400,
        openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        ),
        "max_tokens",
    ),
    "openai's value": (
        400,
        openai(
            "Unsupported value: 'temperature' does not support 0 with this model.",
            param="temperature",
            code="unsupported_value",
        ),
        "temperature",
    ),
    "openai's format": (
        400,
        openai(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this "
            "model.",
            param=None,
        ),
        "response_format",
    ),
    "azure": (400, openai("Unrecognized request argument supplied: seed"), "seed"),
    "google": (
        400,
        [{"error": {"message": 'Invalid JSON payload received. Unknown name "seed": no field.'}}],
        "seed",
    ),
    "mistral": (
        422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]},
        "seed",
    ),
    "litellm": (
        400,
        openai("litellm.UnsupportedParamsError: openai does not support parameters: ['seed']"),
        "seed",
    ),
    "groq": (
        400,
        openai(
            "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` "
            "is less than the `context_window` for this model",
            param="max_tokens",
        ),
        "max_tokens",
    ),
    "anthropic": (400, openai("`temperature` is deprecated for this model."), "temperature"),
    "deepseek": (400, openai("This response_format type is unavailable now"), "response_format"),
    "an english word": (400, openai("'stop' is not supported"), "stop"),
}
OTHERS = {
    "no model": (400, openai("The model `m` does not exist"), "setting"),
    "deepseek": (400, openai("Model Not Exist"), "setting"),
    "openrouter": (
        400,
        {"error": {"message": "m is not a valid model ID", "code": 400}},
        "setting",
    ),
    "google's key": (
        400,
        [{"error": {"message": "API key not valid. Pass a valid one."}}],
        "setting",
    ),
    "key": (401, "no", "setting"),
    "rights": (403, "no", "setting"),
    "a flagged account": (403, openai("Your account has been flagged for abuse."), "setting"),
    "address": (404, "", "setting"),
    "anthropic's money": (400, openai("Your credit balance is too low to use it."), "no money"),
    "quota": (429, openai("quota", code="insufficient_quota"), "no money"),
    "payment": (402, "pay", "no money"),
    "a question sent back": (422, {"detail": [{"msg": "no", "input": "flagged"}]}, "unknown"),
    "an english word": (400, openai("will you stop that"), "unknown"),
    "the messages": (422, {"detail": [{"loc": ["body", "messages", 0], "msg": "no"}]}, "unknown"),
}


@pytest.mark.parametrize("who", sorted(FILTERED))
def test_a_filter_is_known_by_its_code_or_its_words(who: str) -> None:
    """Under 400 and under 403: the content is refused, not the settings."""
    assert meant(*FILTERED[who]) == ("filtered", None)


@pytest.mark.parametrize("who", sorted(TOO_LONG))
def test_a_text_that_is_too_long_is_known_by_any_wording(who: str) -> None:
    """Also where the model is named, or the limit of the answer that has no room any more."""
    assert meant(*TOO_LONG[who]) == ("too long", None)


@pytest.mark.parametrize("who", sorted(FIELDS))
def test_a_refused_field_is_named(who: str) -> None:
    """By its parameter, its place or its name in the words."""
    status, body, field = FIELDS[who]
    assert meant(status, body) == ("field", field)


@pytest.mark.parametrize("who", sorted(OTHERS))
def test_everything_else(who: str) -> None:
    """Settings, money, and what nobody knows; what an error sends back of the call says nothing."""
    status, body, kind = OTHERS[who]
    assert meant(status, body) == (kind, None)


def test_a_cure_is_a_line_of_the_study() -> None:
    """A limit goes by its other name, with its value; any other field goes."""
    problem = refusal(400, "'max_tokens' is not supported", None, SENT).problem
    assert "`fields: {max_tokens: null, max_completion_tokens: 512}`" in problem
    assert "`fields: {seed: null}`" in refusal(400, "unknown field 'seed'", None, SENT).problem
