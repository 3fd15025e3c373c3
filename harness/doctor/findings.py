# SPDX-License-Identifier: MIT
"""From facts to findings: what works here, what does not, at which stage, what to do."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.machine import ending
from harness.model import (
    Accelerator,
    Boot,
    Choice,
    DeviceFacts,
    Diagnosis,
    Disk,
    Finding,
    HostFacts,
    Machine,
    Package,
    Stage,
    Trial,
)

AUTO = "auto"
_SETUP = "./pmu-harness setup"
_AGAIN = "./pmu-harness doctor --rerun"
_QEMUS = "QEMU: "
_SHOWN = 240  # of a line, in characters

# guest-images/accelerator: a word, and what belongs to it, on a line that was finished.
_LINE = re.compile(r"^(booted|pmu|counter|overflow|done|exception)(?: (.{1,120}))?\n", re.MULTILINE)
_NUMBER = re.compile(r"0x[0-9a-f]{1,16}")

# errno names of open(2) on a device file: what they mean there, and what helps.
_UNOPENED = {
    "ENOENT": (
        "there is no such file",
        "enable virtualization in the firmware and load the kvm module; in a virtual machine or "
        "a container, have it given",
    ),
    "EACCES": ("this user may not open it", "sudo usermod -aG kvm $USER, and log in again"),
    "EPERM": ("this user may not open it", "in a container, have the device allowed"),
    "ENODEV": ("no driver is behind it", "load kvm_intel or kvm_amd, and see dmesg"),
    "ENXIO": ("no driver is behind it", "load kvm_intel or kvm_amd, and see dmesg"),
    "ENOTTY": ("it opens, and is no KVM", "see ls -l, and what made that file"),
}
_EMULATE = "nothing is needed for emulation; for KVM, ask who runs this host, with the evidence"


@dataclass(frozen=True)
class Guest:
    """What the guest said, as far as it came; numbers are None where there was no such line."""

    booted: bool = False
    pmu: str | None = None
    counter: int | None = None
    overflows: int | None = None
    done: bool = False
    exception: str = ""


def heard(console: str) -> Guest:
    """The lines of a console that are the program's; any other, and an unfinished one, is noise."""
    said: dict[str, str] = {}
    for word, rest in _LINE.findall(console):
        said.setdefault(word, rest)

    def number(word: str) -> int | None:
        return int(said[word], 16) if _NUMBER.fullmatch(said.get(word, "")) else None

    return Guest(
        booted="booted" in said,
        pmu=said.get("pmu"),
        counter=number("counter"),
        overflows=number("overflow"),
        done="done" in said,
        exception=said.get("exception", ""),
    )


def failed_at(boot: Boot) -> Stage | None:
    """The stage that a boot did not get through; None for one that got through all."""
    guest = heard(boot.console)
    passed = {
        Stage.BOOT: guest.booted,
        Stage.PMU: guest.pmu is not None and not guest.pmu.startswith("none"),
        Stage.COUNTER: bool(guest.counter),
        Stage.OVERFLOW: bool(guest.overflows),
        Stage.END: guest.done and boot.status == 0,
    }
    return next((stage for stage, good in passed.items() if not good), None)


def _ending(boot: Boot, limit_s: int) -> str:
    """How QEMU ended, in words."""
    if boot.status is None:
        return f"{limit_s} s were over"
    return f"QEMU {ending.said(boot.status, boot.signal)}"


def _missed(stage: Stage, boot: Boot, limit_s: int) -> str:
    """Why a stage was not passed, in one sentence."""
    guest = heard(boot.console)
    if guest.exception:
        return f"the guest met an exception: {guest.exception}"
    if stage is Stage.PMU and guest.pmu is not None:
        return f"the guest is told of no PMU ({guest.pmu})"
    if stage is Stage.COUNTER and guest.counter == 0:
        return "the counter stayed 0 while the guest worked"
    if stage is Stage.OVERFLOW and guest.overflows == 0:
        return "the counter overflowed, and no interrupt came"
    silence = {
        Stage.BOOT: "before the guest's first word",
        Stage.PMU: "when the guest looked for a PMU",
        Stage.COUNTER: "when the guest used a counter",
        Stage.OVERFLOW: "when the guest waited for an overflow",
        Stage.END: "when the guest had done all",
    }
    return f"{_ending(boot, limit_s)} {silence[stage]}"


def accelerated(row: Accelerator, trial: Trial, *, needed: bool = False) -> Finding:
    """Whether an accelerator can be used, as far as its trial shows."""
    stage, said, details, evidence, advice = _shown(row, trial)
    return Finding(
        topic="accelerators",
        name=row.name,
        good=stage is None,
        needed=needed,
        stage=stage,
        seconds=trial.boot.seconds if trial.boot else None,
        remembered=trial.remembered,
        said=said,
        details=details,
        evidence=evidence,
        advice=advice,
    )


def _shown(row: Accelerator, trial: Trial) -> tuple[Stage | None, str, tuple[str, ...], str, str]:
    """(stage that was not passed, what is said, details, evidence, advice)."""
    if obstacle := trial.obstacle:
        why = tuple(obstacle.why.splitlines())
        return obstacle.stage, obstacle.what, why, obstacle.evidence, obstacle.advice
    if trial.device and trial.device.error:
        said, advice = _unopened(trial.device)
        return Stage.DEVICE, f"{trial.device.path}: {said}", (), "", advice
    boot = trial.boot
    if boot is None:
        return Stage.BOOT, "not tried since the host booted", (), "", "./pmu-harness doctor"
    stage, guest = failed_at(boot), heard(boot.console)
    if stage is None:
        said = f"counts ({guest.counter}), interrupts ({guest.overflows}): {guest.pmu}"
        return None, said, (), boot.evidence, ""
    words = [f"{_QEMUS}{line[:_SHOWN]}" for line in boot.words]
    last = boot.console.splitlines()[-4:]
    words += [f"guest: {line[:_SHOWN]}" for line in last if line.strip()]
    said = _missed(stage, boot, row.timeout_s)
    advice = _EMULATE if row.device else f"see the evidence, then {_AGAIN}"
    return stage, said, tuple(words), boot.evidence, advice


def _unopened(device: DeviceFacts) -> tuple[str, str]:
    """(why, advice) for a device that does not open or answer."""
    return _UNOPENED.get(device.error, (f"open(2) or ioctl(2) says {device.error}", "see dmesg"))


def device(trial: Trial) -> Finding | None:
    """What a driver says of itself; that it opens does not mean that it delivers."""
    facts = trial.device
    if facts is None:
        return None
    if facts.error:
        why, advice = _unopened(facts)
        return Finding(topic="devices", name=facts.path, good=False, said=why, advice=advice)
    offers = {**facts.capabilities, **facts.parameters}
    vpmu = all(facts.capabilities.values()) and "N" not in facts.parameters.values()
    said = ", ".join(f"{name} {value}" for name, value in offers.items())
    advice = "" if vpmu else "where the host is yours, load kvm with enable_pmu=1"
    return Finding(
        topic="devices",
        name=facts.path,
        good=vpmu,
        said=f"opens, API {facts.api}; {'a' if vpmu else 'no'} vPMU: {said}",
        advice=advice,
    )


def qemu(row: Accelerator, trial: Trial) -> Finding:
    """Which QEMU a row has, or why none."""
    name = row.emulator or row.qemu
    if trial.version:
        said = f"{trial.version}, {trial.binary}"
        return Finding(topic="QEMU", name=name, good=True, said=said)
    why = trial.obstacle
    return Finding(
        topic="QEMU",
        name=name,
        good=False,
        said=why.what if why else "not there",
        advice=why.advice if why else _SETUP,
    )


def host(facts: HostFacts, compiler: str) -> list[Finding]:
    """Compilers, sources, disks, sandbox, packages; the main job needs one `compiler`."""
    found = [
        Finding(
            topic="compilers",
            name=command,
            good=bool(version),
            needed=command == compiler,
            said=version or "not installed",
            advice="" if version else _SETUP,
        )
        for command, version in facts.compilers.items()
    ]
    found.append(_kernels(facts))
    found += [_disk(disk) for disk in facts.disks]
    found.append(_sandbox(facts.unconfined))
    found.append(_packages("main job", facts.missing, needed=True))
    found.append(_packages("everything", facts.wanting, needed=False))
    return found


def _packages(what_for: str, lacking: tuple[Package, ...], *, needed: bool) -> Finding:
    names = ", ".join(package.package for package in lacking)
    return Finding(
        topic="packages",
        name=what_for,
        good=not lacking,
        needed=needed,
        said=f"missing: {names}" if names else "installed",
        details=tuple(f"{package.package}: {package.why}" for package in lacking),
        advice=_SETUP if lacking else "",
    )


def _kernels(facts: HostFacts) -> Finding:
    cached = ", ".join(facts.kernels)
    said = f"in the cache: {cached}" if cached else "none in the cache; Debian's archive "
    if not cached:
        said += "does not answer" if facts.unreachable else "answers"
    return Finding(
        topic="kernel sources",
        name="Debian",
        good=not facts.unreachable,
        needed=True,
        said=said,
        details=tuple(facts.unreachable.splitlines()[-4:]),
        advice="check the network, or give a tree: --source path:DIR" if facts.unreachable else "",
    )


def _disk(disk: Disk) -> Finding:
    free, wanted = (size / (1 << 30) for size in (disk.free_bytes, disk.wanted_bytes))
    good = free >= wanted
    return Finding(
        topic="disk",
        name=disk.name,
        good=good,
        needed=True,
        said=f"{free:.1f} GiB free in {disk.path}; a run takes up to {wanted:.1f} GiB",
        advice="" if good else f"make room, such as by removing what is old in {disk.path}",
    )


def _sandbox(unconfined: str) -> Finding:
    if not unconfined:
        said = "patched kernels are built without network and write access"
        return Finding(topic="sandbox", name="bubblewrap", good=True, said=said)
    return Finding(
        topic="sandbox",
        name="bubblewrap",
        good=False,
        said="patched kernels are built unconfined: " + unconfined.splitlines()[-1],
        advice="build only patches that you trust, or allow user namespaces (user_namespaces(7))",
    )


def conclude(findings: Iterable[Finding], machine: str) -> Diagnosis:
    """Whether the host can do the main job, on its machine."""
    findings = tuple(findings)
    lacking = [finding for finding in findings if finding.needed and not finding.good]
    headline = f"this host can do the main job, on {machine}"
    if lacking:
        first = lacking[0]
        headline = f"this host cannot do the main job: {first.topic}, {first.name}: {first.said}"
    return Diagnosis(able=not lacking, headline=headline, findings=findings)


def automatic(
    machines: Mapping[str, Machine],
    rows: Iterable[Accelerator],
    findings: Mapping[str, Finding],
    default: str,
) -> Choice:
    """The first machine whose hardware accelerator works, or the default one, and why.

    `rows` are the hardware accelerators of the host's own architecture.
    """
    reasons = []
    for row in rows:
        finding = findings[row.name]
        if not finding.good:
            reasons.append(unusable(finding))
            continue
        played = next(name for name, machine in machines.items() if row.plays(machine))
        return Choice(asked=AUTO, machine=played, reason=f"{row.name} works here: {finding.said}")
    why = "; ".join(reasons) or "no hardware accelerator is for this host"
    return Choice(asked=AUTO, machine=default, reason=f"emulated, as {why}")


def unusable(finding: Finding) -> str:
    """One line for an accelerator that does not deliver: where it failed, and why."""
    stage = finding.stage.value if finding.stage else ""
    words = [line for line in finding.details if line.startswith(_QEMUS)]
    # The first error is the cause; an assertion that fails of it comes after.
    said = next((line for line in words if "error:" in line), words[-1] if words else "")
    return f"{finding.name} fails at stage {stage}: {finding.said}" + (f" ({said})" if said else "")
