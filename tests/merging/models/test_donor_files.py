"""Which small files a merged model takes over."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mixmerge.errors import ModelError
from mixmerge.merging.engine import merge
from mixmerge.merging.models.donor_files import OTHER_TOKENS, donated, lacks_tokens
from mixmerge.merging.planning.plan import plan_merge

FILES = (
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "words.tiktoken",
    "video_preprocessor_config.json",
    "additional_chat_templates/rag.jinja",
)


def test_the_output_has_all_small_files_of_its_donor(
    pair: dict[str, Path], recipe: Any, tmp_path: Path
) -> None:
    """Vocabularies in every known form, settings of processors, named chat templates; no code."""
    for name in (*FILES, "modeling_custom.py"):
        (pair["a"] / name).parent.mkdir(exist_ok=True)
        (pair["a"] / name).write_text("{}")
    merge(recipe("linear", pair), tmp_path / "out")
    for name in FILES:
        assert (tmp_path / "out" / name).read_text() == "{}"
    assert not (tmp_path / "out" / "modeling_custom.py").exists()
    (pair["a"] / "additional_chat_templates" / "rag.jinja").unlink()
    merge(recipe("linear", pair), tmp_path / "out")
    assert donated(tmp_path / "out").keys() == donated(pair["a"]).keys()


@pytest.mark.parametrize("name", [name.replace("*", "words") for name in OTHER_TOKENS])
def test_other_vocabularies_are_refused_in_every_form(
    name: str, pair: dict[str, Path], recipe: Any, tmp_path: Path
) -> None:
    """The same goes through, and another one does not for want of a known name."""
    for path in pair.values():
        (path / "tokenizer.json").unlink()
        (path / "tokenizer_config.json").write_text("{}")
        (path / name).write_text("a b c")
    merge(recipe("linear", pair), tmp_path / "out")
    assert (tmp_path / "out" / name).is_file()
    (pair["b"] / name).write_text("c b a")
    with pytest.raises(ModelError, match="the tokenizer files of a and b differ"):
        merge(recipe("linear", pair), tmp_path / "out")


def test_a_tokenizer_without_a_known_vocabulary_is_noted(
    pair: dict[str, Path], recipe: Any
) -> None:
    """One of bytes needs none; another one's would be missing in the output."""
    assert not plan_merge(recipe("linear", pair)).notes
    (pair["a"] / "tokenizer.json").unlink()
    (pair["a"] / "tokenizer_config.json").write_text("{}")
    (pair["b"] / "tokenizer.json").unlink()
    (pair["b"] / "tokenizer_config.json").write_text("{}")
    assert lacks_tokens(pair["a"])
    assert plan_merge(recipe("linear", pair)).notes == (
        "the tokenizer of a has no vocabulary file that mixmerge knows",
    )


def test_links_are_followed_within_the_model_alone(
    pair: dict[str, Path], recipe: Any, tmp_path: Path
) -> None:
    """A folder from a stranger must not bring files of this machine into the output."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (pair["a"] / "merges.txt").write_text("")
    (pair["a"] / "vocab.txt").symlink_to("merges.txt")
    merge(recipe("linear", pair), tmp_path / "out")
    for name in ("vocab.txt", "chat_template.jinja", "modules.json", "config.json"):
        whole = pair["b"] / name
        kept = whole.read_bytes() if whole.exists() else None
        whole.unlink(missing_ok=True)
        whole.symlink_to(secret)
        with pytest.raises(ModelError, match=rf"{name}: is a link to .*secret\.txt, outside"):
            plan_merge(recipe("linear", pair))
        whole.unlink()
        if kept is not None:
            whole.write_bytes(kept)


def test_links_of_the_hubs_cache_are_followed(
    pair: dict[str, Path], recipe: Any, tmp_path: Path
) -> None:
    """It keeps the files of all revisions beside them."""
    home = tmp_path / "models--org--name"
    blobs, snapshot = home / "blobs", home / "snapshots" / "main"
    shutil.copytree(pair["a"], snapshot)
    blobs.mkdir()
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(blobs / str(number))
    merge(recipe("linear", {"a": snapshot, "b": pair["b"]}), tmp_path / "out")
    assert not (tmp_path / "out" / "tokenizer.json").is_symlink()


def with_modules(folder: Path, dense: float, *, pickled: bool = False) -> None:
    """Make a model one of sentence-transformers: pooling without weights, a layer with them."""
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Norm": "Normalize"}
    listed = [
        {"idx": at, "path": path, "type": kind} for at, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "sentence_bert_config.json").write_text("{}")
    for name in ("1_Pooling", "2_Dense"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps({"of": name}))
    tensors = {"linear.weight": torch.full((2, 3), float(dense))}
    if pickled:
        torch.save(tensors, folder / "2_Dense" / "pytorch_model.bin")
    else:
        save_file(tensors, folder / "2_Dense" / "model.safetensors")


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickled"])
@pytest.mark.parametrize("shard_size", [5_000_000_000, 1], ids=["one file", "many"])
def test_modules_beside_a_model_are_merged_and_copied(
    shard_size: int, pickled: bool, pair: dict[str, Path], recipe: Any, tmp_path: Path
) -> None:
    """Those with weights are merged as all weights are; settings are the donor's."""
    with_modules(pair["a"], 1, pickled=pickled)
    with_modules(pair["b"], 2)
    if pickled:
        with pytest.raises(ModelError, match=r"2_Dense: its weights are pickled \(pytorch_model"):
            merge(recipe("linear", pair), tmp_path / "out")
    merge(recipe("linear", pair), tmp_path / "out", allow_pickle=True, shard_size=shard_size)
    out = tmp_path / "out"
    (dense,) = load_file(out / "2_Dense" / "model.safetensors").values()
    assert dense.tolist() == [[1.5] * 3] * 2
    assert json.loads((out / "1_Pooling" / "config.json").read_text()) == {"of": "1_Pooling"}
    assert (out / "modules.json").read_bytes() == (pair["a"] / "modules.json").read_bytes()
    assert (out / "sentence_bert_config.json").is_file()
    again = merge(recipe("linear", {"a": out, "b": out}), tmp_path / "again")
    assert not [note for note in again if "2_Dense" in note]
    names = {name for file in out.glob("*.safetensors") for name in load_file(file)}
    assert not any("Dense" in name for name in names)


def test_modules_that_do_not_fit_are_refused(pair: dict[str, Path], recipe: Any) -> None:
    """No weight of a module is dropped, and none is read from elsewhere."""
    with_modules(pair["b"], 1)
    with pytest.raises(ModelError, match=r"tensor 2_Dense/linear\.weight is in b and not in a"):
        plan_merge(recipe("linear", pair))
    (pair["b"] / "2_Dense" / "model.safetensors").unlink()
    (note,) = plan_merge(recipe("linear", pair)).notes
    assert note == "b is a sentence-transformers model and a is not, so neither is the output"
    (pair["b"] / "modules.json").write_text('[{"path": "../elsewhere"}]')
    with pytest.raises(ModelError, match=r"modules\.json: each module must have a `path` in the"):
        plan_merge(recipe("linear", pair))


def test_code_that_the_output_needs_is_named(pair: dict[str, Path], recipe: Any) -> None:
    """None is copied, so the output cannot be loaded without it."""
    asked = {"AutoConfig": "own.OwnConfig", "AutoModel": "org/name--modeling.Own"}
    config = json.loads((pair["a"] / "config.json").read_text())
    (pair["a"] / "config.json").write_text(json.dumps({**config, "auto_map": asked}))
    tokenizer = {"auto_map": {"AutoTokenizer": ["tokens.OwnTokenizer", None]}}
    (pair["a"] / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    notes = plan_merge(recipe("linear", pair)).notes
    by_hand = f"which is code and was not copied: copy it by hand from {pair['a']}, with what it"
    assert [note for note in notes if "output needs" in note] == [
        f"the output needs own.py, {by_hand} imports",
        "the output needs code of org/name, which loaders take from the hub",
        f"the output needs tokens.py, {by_hand} imports",
    ]


@pytest.mark.parametrize("where", ["model.safetensors", "2_Dense/model.safetensors"])
@pytest.mark.parametrize("name", ["/etc/weight", "../../above/weight", "3_Other/weight", "a\\b"])
def test_no_name_of_a_tensor_leads_out_of_the_output(
    name: str, where: str, pair: dict[str, Path], recipe: Any, tmp_path: Path
) -> None:
    """A slash parts folder and name in the output, so no stored name may have one."""
    for folder in pair.values():
        with_modules(folder, 1)
        save_file(load_file(folder / where) | {name: torch.ones(2)}, folder / where)
    with pytest.raises(ModelError, match="a name with a slash cannot be merged"):
        merge(recipe("linear", pair), tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("above"))
    assert not (tmp_path / "deep" / "out").exists()
