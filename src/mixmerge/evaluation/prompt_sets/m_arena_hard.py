"""m-ArenaHard v2: five hundred hard user requests, machine-translated into 22 languages.

Dang et al., Aya Expanse (2024), arXiv 2412.04261, for the first version. There is one configuration
per language, named by its ISO 639-1 code; they are joined by ``question_id``. The column
``cluster`` of the first version is a topic, not a source question.
"""

from collections.abc import Sequence

from mixmerge.evaluation.prompt_sets.cells import check_joined, explained, joined_prompt, own_codes
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.records import Prompt, Translated
from mixmerge.tables import read_data_set

HUB = "CohereLabs/m-ArenaHard-v2.0"
ENGLISH = "en"
_CODES = "ar cs de el en es fa fr he hi id it ja ko nl pl pt ro ru tr uk vi zh"


def read(spec: PromptSetSpec, languages: Sequence[str]) -> list[Prompt]:
    """Read the requests of some languages, joined on ``question_id``.

    Raises:
        DataError: the set cannot be loaded, a row is not in the published format, or a question is
            missing in a language.
    """
    where = spec.hub or HUB
    prompts = []
    codes = {code: code for code in _CODES.split()}
    for language, config in own_codes(spec, languages, codes).items():
        rows = read_data_set(where, config=config, split="test", revision=spec.revision)
        translated: Translated = "none" if language == ENGLISH else "machine"
        for place, cells in rows:
            topic = cells.get("category")
            topic = None if topic is None else str(topic)
            with explained(place):
                prompts.append(
                    joined_prompt(cells, "question_id", "prompt", language, translated, topic)
                )
    check_joined(prompts, languages[0], str(spec.set))
    return prompts
