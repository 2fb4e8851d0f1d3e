"""What lets a model answer: transformers, vLLM's offline engine, or an endpoint that serves it."""
