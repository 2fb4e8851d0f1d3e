"""Translation by a sequence-to-sequence model: no instruction, a code for each language.

NLLB, M2M100 and mBART read the source's language from the tokenizer and write the language of the
first token that they are given; MADLAD, T5 and Opus-MT have the target before the text. Texts are
translated line by line: these models are trained on sentences and lose line breaks.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSeq2SeqLM, GenerationConfig

from mixmerge.chat.tokenizer import context_length, load_tokenizer
from mixmerge.errors import ModelError
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.journal import Journal
from mixmerge.evaluation.loaded_model import device_and_dtype, loading
from mixmerge.execution.environment import cpu_threads
from mixmerge.fingerprint import fingerprint, folder_fingerprint, once
from mixmerge.hub import resolve
from mixmerge.progress import Progress
from mixmerge.records import ModelFolder
from mixmerge.synthesis.model_spec import Seq2seqSpec
from mixmerge.synthesis.replies import TOO_LONG


class Text(NamedTuple):
    """A text to translate."""

    text: str
    source: str
    """Its language, as an ISO 639 code."""
    target: str
    longest: int
    """Most tokens of each line of the translation."""

    @property
    def lines(self) -> list[str]:
        """The lines that there is something to translate in."""
        return [line for line in self.text.split("\n") if line.strip()]


class Translator:
    """A translation model, loaded when a text first needs it."""

    def __init__(self, spec: Seq2seqSpec) -> None:
        """Check the folder without loading anything.

        Raises:
            ModelError: the folder is not a complete model.
        """
        self.spec = spec
        self.folder = ModelFolder(resolve(spec.path))

    def close(self) -> None:
        """Do nothing: the weights go with the object."""

    def replies(self, texts: Sequence[Text], journal: Path, progress: Progress) -> list[Reply]:
        """Translate texts.

        Lines that are in the journal are not translated again.

        Raises:
            ModelError: the model cannot be loaded, or does not know a language's code.
        """
        lines = {self._key(line, text): (line, text) for text in texts for line in text.lines}
        with Journal(journal) as known:
            missing = {key: each for key, each in lines.items() if key not in known}
            done = len(lines) - len(missing)
            progress(done, len(lines), "lines")
            for batch in self._batches(missing):
                for key, value in self._translated({key: missing[key] for key in batch}).items():
                    known.append(key, value)
                done += len(batch)
                progress(done, len(lines), "lines")
            return [self._reply(text, known) for text in texts]

    def _key(self, line: str, text: Text) -> str:
        stamp = once(folder_fingerprint, self.folder.path)
        return fingerprint([stamp, self._codes(text), self.spec.beams, text.longest, line])

    def _codes(self, text: Text) -> tuple[str, str]:
        """Return what the model calls the source's and the target's language."""
        names = self.spec.languages
        return names.get(text.source, text.source), names[text.target]

    def _batches(self, missing: Mapping[str, tuple[str, Text]]) -> Iterator[list[str]]:
        """Yield keys of lines in one direction; the longest first, to see a lack of memory soon."""
        by_kind: dict[tuple[str, str, int], list[str]] = {}
        for key, (_, text) in missing.items():
            by_kind.setdefault((*self._codes(text), text.longest), []).append(key)
        for keys in by_kind.values():
            keys.sort(key=lambda key: (-len(missing[key][0]), key))
            for start in range(0, len(keys), self.spec.batch_size):
                yield keys[start : start + self.spec.batch_size]

    def _translated(self, lines: Mapping[str, tuple[str, Text]]) -> dict[str, Any]:
        """Return text, reason of its end, and tokens in and out of each line of one batch."""
        first = next(iter(lines.values()))[1]
        first_token, texts = self._prepared(
            self._codes(first), [line for line, _ in lines.values()]
        )
        encoded = [self._tokenizer(text).input_ids for text in texts]
        most = self._longest
        fits = [most is None or len(ids) <= most for ids in encoded]
        read = [ids for ids, fit in zip(encoded, fits, strict=True) if fit]
        with cpu_threads(self.spec.threads):
            written = self._written(read, first_token, first.longest)
        found: dict[str, Any] = {}
        for key, ids, fit in zip(lines, encoded, fits, strict=True):
            if fit:
                found[key] = [*next(written), len(ids)]
            else:
                said = f"a line of {len(ids):,} tokens; the model reads {most:,}"
                found[key] = [said, TOO_LONG, 0, len(ids)]
        return found

    def _written(
        self, rows: Sequence[Sequence[int]], first_token: int | None, longest: int
    ) -> Iterator[tuple[str, str, int]]:
        if not rows:
            return
        tokenizer, network = self._tokenizer, self._network
        batch = tokenizer.pad({"input_ids": list(rows)}, return_tensors="pt").to(network.device)
        own = self._own_settings
        # Lengths, penalties and sampling in the model's files would change what it writes; they
        # count unless the network's own settings are replaced.
        network.generation_config = GenerationConfig(
            max_new_tokens=longest,
            num_beams=self.spec.beams,
            do_sample=False,
            forced_bos_token_id=first_token,
            decoder_start_token_id=own.decoder_start_token_id,
            eos_token_id=own.eos_token_id,
            pad_token_id=own.pad_token_id,
            bad_words_ids=own.bad_words_ids,  # Opus-MT keeps padding out of its texts by them
        )
        with torch.inference_mode():
            output = network.generate(**batch)
        ends = own.eos_token_id
        ends = {*ends} if isinstance(ends, list) else {ends}
        for tokens in output[:, 1:].tolist():
            end = next((place for place, token in enumerate(tokens) if token in ends), None)
            text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
            count = len(tokens) if end is None else end + 1
            yield text, "length" if end is None else "stop", count

    def _prepared(self, codes: tuple[str, str], texts: list[str]) -> tuple[int | None, list[str]]:
        """Return the token that the translation begins with, and what the model reads."""
        source, target = codes
        tokenizer = self._tokenizer
        if not hasattr(tokenizer, "src_lang"):
            return None, [f"{target} {text}" if target else text for text in texts]
        for code in codes:
            if not self._knows(code):
                raise ModelError(
                    f"{self.folder.path}: its tokenizer has no language {code!r}; `languages` maps "
                    "ISO 639 codes to its own, such as `hi: hin_Deva`."
                )
        tokenizer.src_lang = source
        return self._language_token(target), texts

    def _knows(self, code: str) -> bool:
        try:
            return self._language_token(code) != int(self._tokenizer.unk_token_id)
        except KeyError:
            return False

    def _language_token(self, code: str) -> int:
        # M2M100 writes `__hi__` for `hi`; in the others the code is the token.
        of_code = getattr(self._tokenizer, "get_lang_id", self._tokenizer.convert_tokens_to_ids)
        return int(of_code(code))

    def _reply(self, text: Text, known: Mapping[str, Any]) -> Reply:
        """Join the lines of a text; if one cannot be used, the text cannot."""
        texts: list[str] = []
        tokens = [0, 0]
        for line in text.text.split("\n"):
            if not line.strip():
                texts.append(line)
                continue
            translation, reason, written, read = known[self._key(line, text)]
            tokens = [tokens[0] + read, tokens[1] + written]
            if reason != "stop" or not translation:
                return Reply(translation, finish_reason=reason)
            texts.append(translation)
        # In the marks of the recipe, as other models reply.
        whole = "<reply>" + "\n".join(texts) + "</reply>"
        return Reply(whole, finish_reason="stop", input_tokens=tokens[0], output_tokens=tokens[1])

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.folder.path)

    @cached_property
    def _longest(self) -> int | None:
        """The most tokens that the model reads; None if its files do not say."""
        said = [context_length(self.folder.config), self._tokenizer.model_max_length]
        return min((each for each in said if each and each < 10**9), default=None)

    @cached_property
    def _own_settings(self) -> Any:
        """The settings of generation in the model's files, read before they are replaced."""
        return self._network.generation_config

    @cached_property
    def _network(self) -> Any:
        path = self.folder.path
        device, dtype = device_and_dtype()
        with loading(path):
            try:
                network = AutoModelForSeq2SeqLM.from_pretrained(
                    path, dtype=dtype, local_files_only=True, trust_remote_code=False
                )
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                raise ModelError(
                    f"{path}: is no sequence-to-sequence model that can be loaded: {error}"
                ) from error
        return network.to(device).eval()
