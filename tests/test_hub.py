"""Models by name: folders here, repositories on the hub, and what is neither."""

import socket
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import ModelError
from mixmerge.hub import is_hub_name, local_folder, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the hub's cache a folder of the test, and the network out of reach."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def no_network(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", no_network)


@pytest.mark.parametrize(
    ("text", "alone", "with_owner"),
    [
        ("gpt2", True, False),
        ("gpt2@v1", True, False),
        ("org/name", True, True),
        ("org/name@refs/pr/1", True, True),
        ("org/name@", False, False),
        ("a/b/c", False, False),
        ("./org/name", False, False),
        ("/org", False, False),
        ("~/name", False, False),
        ("my model", False, False),
        ("", False, False),
    ],
)
def test_the_form_of_a_name(text: str, alone: bool, with_owner: bool) -> None:
    """`NAME` or `OWNER/NAME`, with an optional `@REVISION`; what is written like a path is none."""
    assert is_hub_name(text) == alone
    assert is_hub_name(text, needs_owner=True) == with_owner


def test_a_folder_here_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its name looks like, from the folder that a relative path starts from."""
    folder = tmp_path / "org" / "name"
    folder.mkdir(parents=True)
    assert resolve("org/name", relative_to=tmp_path) == folder
    monkeypatch.chdir(tmp_path)
    assert resolve("org/name").resolve() == folder
    assert resolve(str(folder)) == folder


def test_a_model_in_the_cache_is_found_without_network(tmp_path: Path) -> None:
    """At the revision that is asked for; another revision is not there."""
    repository = tmp_path / "hub" / "models--org--m"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "v1").write_text(COMMIT)
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    assert resolve("org/m@v1") == snapshot
    with pytest.raises(ModelError, match=r"^org/m@v2: no such folder, and it could not be"):
        resolve("org/m@v2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("./none", "no such folder, and not a hub name"),
        ("none", "no such folder, and not a hub name"),
        ("file", "is a file; a model is a folder"),
        ("x" * 5000, "no such folder"),
        ("~nobody-at-all/x", "no such folder"),
        ("a\x00b", "no such folder"),
    ],
)
def test_what_is_neither_is_one_message(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what was looked for; nothing is downloaded."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=message):
        resolve(text, needs_owner=True)


def test_a_path_need_not_exist(tmp_path: Path) -> None:
    """Where a model would be can be asked before it is there."""
    assert local_folder("later", tmp_path) == tmp_path / "later"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The patterns that the hub is asked for; it answers with the test's folder."""
    patterns: list[list[str]] = []

    def download(_: str, *, allow_patterns: list[str], **__: Any) -> str:
        patterns.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return patterns


def test_only_what_is_asked_for_is_downloaded(tmp_path: Path, asked: list[list[str]]) -> None:
    """Patterns go to the hub; pickled weights only on request and where there are no others."""
    resolve("org/m", files=("config.json",))
    resolve("org/m", files=("config.json",), pickled=True)
    (tmp_path / "model.safetensors").write_text("")
    resolve("org/m", files=("config.json",), pickled=True)
    plain = ["config.json"]
    assert asked == [plain, plain, [*plain, "*.bin", "*.pt"], plain]


def test_modules_beside_a_model_are_downloaded(tmp_path: Path, asked: list[list[str]]) -> None:
    """Their settings and weights; pickled ones where there are no others, to be asked about."""
    (tmp_path / "modules.json").write_text('[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_D"}]')
    (tmp_path / "2_D").mkdir()
    (tmp_path / "2_D" / "model.safetensors").write_text("")
    resolve("org/m", files=("*.json",))
    pooling = [["1_Pooling/*.json"], ["1_Pooling/*.bin", "1_Pooling/*.pt"]]
    assert asked == [["*.json"], *pooling, ["2_D/*.json"]]
    asked.clear()
    (tmp_path / "modules.json").write_text("nothing")
    resolve("org/m", files=("*.json",))
    assert asked == [["*.json"]]
