"""Run mergekit's own tests of whole merges with ``mixmerge merge`` doing the merges.

    python -m benchmarks.mergekit_tests

fetches the sources of mergekit 0.1.5 from the package index into a temporary folder, makes an
environment for it there on top of this one, runs the tests and removes everything. Each test that
merges is printed: passed, or failed with the row of `docs/mergekit.md` that says why it must. The
exit code is 1 where a test fails without such a reason, or passes although it has one.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

VERSION = "0.1.5"
_TESTS = (
    *("test_basic_merges.py", "test_chat_template.py", "test_embedding_truncation.py"),
    *("test_merge_dtypes.py", "test_tokenizer.py", "test_vocabulary_axis.py"),
)
"""The modules that merge models in folders; the others test functions of mergekit's."""
_REPLACE = """import mergekit.merge
from tests.common import run_merge

mergekit.merge.run_merge = run_merge
"""

DEVIATIONS = {
    "test_truncation_preserves_donor_config": "`vocab_size` without `tokenizer`",
    "test_truncation_copies_out_of_range_metadata": "`vocab_size` without `tokenizer`",
    "test_default_and_allow_crimes_do_not_truncate": "words of refusals",
    "TestTokenizerMerges::test_mismatched_vocabulary_requires_alignment": "words of refusals",
}
"""Why a test fails, by its name or the beginning of it: a row of a table in `docs/mergekit.md`."""


def reason(test: str) -> str | None:
    """Return the documented deviation that makes a test fail, None for one that must pass."""
    return next((why for name, why in DEVIATIONS.items() if test.startswith(name)), None)


def _run(*command: str | Path, folder: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def _environment(place: Path) -> Path:
    """Make an environment with mergekit that also sees the packages of this one."""
    _run(sys.executable, "-m", "venv", "--without-pip", place)
    python = place / "bin" / "python"
    packages = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(packages, "shared.pth").write_text(sysconfig.get_path("purelib"))
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet")
    print(_run(*pip, f"mergekit=={VERSION}", "immutables"), end="", file=sys.stderr)
    return python


def _sources(place: Path) -> Path:
    """Fetch mergekit's sources, with our stand-in among its tests."""
    pip = (sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--quiet")
    print(_run(*pip, "--dest", place, f"mergekit=={VERSION}"), end="", file=sys.stderr)
    with tarfile.open(place / f"mergekit-{VERSION}.tar.gz") as archive:
        archive.extractall(place, filter="data")
    tests = place / f"mergekit-{VERSION}" / "tests"
    (tests / "__init__.py").touch()
    (tests / "conftest.py").write_text(_REPLACE)
    (tests / "common.py").write_text(Path(__file__).with_name("mergekit_stand_in.py").read_text())
    return tests


def run(place: Path) -> dict[str, str]:
    """Run the tests; return what the test that failed said, or nothing, for each that merged."""
    python, tests = _environment(place / "env"), _sources(place)
    merged, report = place / "merged", place / "report.xml"
    merged.touch()
    paths = os.pathsep.join(path for path in sys.path if path)
    said = _run(
        *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"),
        *("-W", "ignore", "-c", "/dev/null", "--rootdir", tests.parent),
        *(tests / name for name in _TESTS),
        folder=tests.parent,
        PYTHONPATH=os.pathsep.join([str(tests.parent), paths]),
        MERGES_OF_TESTS=str(merged),
        HF_HUB_OFFLINE="1",
    )
    if not report.exists():
        raise SystemExit(said)
    names = {line.partition("::")[2].partition(" (")[0] for line in merged.read_text().splitlines()}
    found = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest's own file
        group = (case.get("classname") or "").rpartition(".")[2]
        name = case.get("name") or ""
        name = f"{group}::{name}" if group.startswith("Test") else name
        failed = case.find("failure") if case.find("failure") is not None else case.find("error")
        if name in names:
            found[name] = "" if failed is None else (failed.get("message") or "failed")
    return found


def main() -> int:
    """Print every test, and return how many are not as documented."""
    with tempfile.TemporaryDirectory() as place:
        results = run(Path(place))
    counts: Counter[str] = Counter()
    for name, said in sorted(results.items()):
        why = reason(name)
        outcome = "failed" if said else "passed"
        counts[outcome if bool(said) == bool(why) else f"{outcome} unexpectedly"] += 1
        print(f"{outcome} {name}" + (f" [{why}]" if why else ""))
        if said:
            print(f"       {' '.join(said.split())[:300]}")
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return min(1, sum(count for what, count in counts.items() if what.endswith("unexpectedly")))


if __name__ == "__main__":
    sys.exit(main())
