# SPDX-License-Identifier: MIT
"""What a run is made of, decided before it begins."""

from enum import Enum
from typing import Any, Literal

from pydantic import Field

from harness.model.base import Frozen
from harness.model.noise import NoiseLimit
from harness.model.rows import Machine
from harness.model.scenario import Scenario
from harness.model.series import Claim
from harness.model.variant import Variant
from harness.model.verdict import Erratum


class PatchInfo(Frozen):
    """What is known of a patch: its place as given, and what its mail, if it was one, says.

    `stem` is what its file is called, or would be; `notes` tell how it was taken, `warnings`
    what had to be done to have it apply.
    """

    path: str
    stem: str = ""
    subject: str = ""
    author: str = ""
    message_id: str = ""
    base_commit: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class PatchFile(PatchInfo):
    """One patch with its text; `flowed` if it came in a mail of that format.

    What is no UTF-8 is read as ISO-8859-1, in which each byte is a character: so each patch
    is kept, and built, byte for byte.
    """

    text: str
    encoding: Literal["utf-8", "iso-8859-1"] = "utf-8"
    flowed: bool = False

    @classmethod
    def of(cls, path: str, data: bytes, **known: Any) -> "PatchFile":
        """A patch from what is in its file, and what else is known of it."""
        try:
            return cls(path=path, text=data.decode(), **known)
        except UnicodeDecodeError:
            text = data.decode("iso-8859-1")
            return cls(path=path, text=text, encoding="iso-8859-1", **known)

    @property
    def data(self) -> bytes:
        """What is in its file."""
        return self.text.encode(self.encoding)

    @property
    def info(self) -> PatchInfo:
        """All but the text."""
        return PatchInfo(**{name: getattr(self, name) for name in PatchInfo.model_fields})


class Subject(Frozen):
    """Source + patches; `name` is what a person reads, such as 6.12+pre-callbacks.

    `title` is that of the `cover` letter; `notes` tell what of the mails was left out.
    """

    name: str
    source: str
    version: str
    patches: tuple[PatchFile, ...]
    title: str = ""
    cover: PatchInfo | None = None
    notes: tuple[str, ...] = ()


class Role(Enum):
    """A candidate is judged against a reference."""

    REFERENCE = "reference"
    CANDIDATE = "candidate"


class Cell(Frozen):
    """One guest of the plan, with a stable, printable id.

    `repetition` counts from 1 the guests of one combination of subject, machine and scenario;
    it is 0 where there is only one, and for all of them together.
    """

    subject: str
    role: Role
    machine: str
    scenario: str
    repetition: int = Field(default=0, ge=0)

    @property
    def id(self) -> str:
        """Such as `6.12+pre-callbacks/aarch64-tcg/cycles-cpu`; also its folder in a run.

        A repetition has its number behind that.
        """
        number = f"/{self.repetition}" if self.repetition else ""
        return f"{self.subject}/{self.machine}/{self.scenario}{number}"

    @property
    def whole(self) -> "Cell":
        """All repetitions together."""
        return self.model_copy(update={"repetition": 0})


class Plan(Frozen):
    """Everything a run is going to do, decided before it begins.

    With `strict`, what fails on the reference as well is a failure; with `allow_unbuilt`,
    patches of which nothing is in a guest are none.  `kconfig` names the files that a person
    added to the configuration.  Below `fail_under` percent of a patch's lines executed there is
    no verdict.
    """

    source: str
    series: str
    claim: Claim
    subjects: dict[Role, Subject]
    machine: Machine
    variants: tuple[Variant, ...] = ()
    kconfig: tuple[str, ...] = ()
    scenarios: tuple[Scenario, ...]
    errata: tuple[Erratum, ...] = ()
    noise_limits: tuple[NoiseLimit, ...] = ()
    strict: bool = False
    allow_unbuilt: bool = False
    fail_under: float | None = None
    cells: tuple[Cell, ...]

    def machine_for(self, scenario: Scenario) -> Machine:
        """The machine as a scenario's guests have it: its variant may ask for more of one."""
        for variant in self.variants:
            if variant.name == scenario.variant:
                return variant.on(self.machine)
        return self.machine
