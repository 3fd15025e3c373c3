# SPDX-License-Identifier: MIT
"""Files that a config leaves out, compiled by themselves: what a patch breaks there is seen."""

import json
from pathlib import PurePosixPath

from harness.build import kbuild
from harness.build.compile import words_of
from harness.build.kernel import Builder, Kernel
from harness.errors import BuildError
from harness.host.store import digest, write_json, write_text

_RESULTS = "compiled.json"
COMPILES = "compiles by itself"


def compile_alone(
    builder: Builder, reference: Kernel, candidate: Kernel, paths: list[str]
) -> dict[str, str]:
    """How each source compiles by itself, from the store if that is known.

    Under this config, which it is not for: what fails with the reference's sources as well
    says nothing.  Raises BuildError for one that only the candidate's do not compile.
    """
    if not paths:
        return {}
    name = digest("alone", reference.digest, candidate.digest, *sorted(paths))
    place = builder.cache.artifacts / f"alone-{name}"
    if not place.exists():
        with builder.cache.publish(place) as new:
            said = {path: _compile(builder, reference, candidate, path) for path in paths}
            write_json(new / _RESULTS, said)
    return dict(json.loads((place / _RESULTS).read_text(encoding="utf-8")))


def _compile(builder: Builder, reference: Kernel, candidate: Kernel, path: str) -> str:
    try:
        _make(builder, candidate, path)
    except BuildError as error:
        said = words_of(builder.log)
        if _compiles(builder, reference, path):
            error.what = f"{path} does not compile, which this config leaves out"
            write_text(builder.log, said)
            raise
        return "does not compile by itself, nor does the reference's"
    return COMPILES


def _compiles(builder: Builder, kernel: Kernel, path: str) -> bool:
    """True if a kernel's source compiles; a file that it lacks cannot tell."""
    try:
        _make(builder, kernel, path)
    except BuildError:
        return False
    return True


def _make(builder: Builder, kernel: Kernel, path: str) -> None:
    with builder.configured(kernel.subject) as tree:
        if not (tree / path).is_file():
            raise BuildError(f"there is no {path}")
        try:
            builder.make(path, str(PurePosixPath(path).with_suffix(".o")))
        finally:
            kbuild.forget(builder.folder, path)
