# SPDX-License-Identifier: MIT
"""What a kernel says of itself on its console: crashes, warnings, and what its debug tools find."""

import re
from dataclasses import dataclass

from harness.model import GuestEnd

# The tools' own words: mm/kasan/report.c, kernel/kcsan/report.c, mm/kfence/report.c, lib/ubsan.c,
# lib/debugobjects.c, kernel/sched/core.c (__might_resched, __schedule_bug),
# kernel/locking/lockdep.c, kernel/rcu/ (the splat is lockdep's).
_TOOLS = (
    r"BUG: (?:KASAN|KCSAN|KFENCE): |UBSAN: |ODEBUG: (?!selftest)"
    r"|BUG: sleeping function called from invalid context|BUG: scheduling while atomic"
    r"|WARNING: (?:possible |inconsistent lock state|suspicious RCU usage|bad \w+ balance detected"
    r"|bad contention detected|held lock freed|lock held when returning to user space"
    r"|Nested lock was not taken|.* lock order detected|.* still has locks held)"
    r"|\[ BUG: Invalid wait context \]|BUG: .* (?:too low|too many lockdep)"
)
# Of two that a line may be, the first; of those of a console, that of the first kind tells how
# it ended: an oops that panics is told by its oops.  Sources:
# arch/*/mm/fault.c and die() ("Internal error", "BUG:", "Unable to handle"; x86 gives
# each trap its name: "divide error: 0000 [#1]", RISC-V says "Oops - illegal instruction [#1]"),
# arch/x86/kernel/nmi.c and mm/extable.c,
# kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h, kernel/panic.c.
_SIGNS: tuple[tuple[GuestEnd, str], ...] = (
    (GuestEnd.REPORT, _TOOLS),
    (
        GuestEnd.STALL,
        r"watchdog: BUG: soft lockup|rcu: INFO: .*\bdetected\b.*stall"
        r"|INFO: task .* blocked for more than",
    ),
    (
        GuestEnd.OOPS,
        r"Unable to handle kernel|Internal error: |\bBUG: |kernel BUG at |Kernel BUG \[#\d+\]"
        r"|Oops(?:: | - | \[#\d+\])|: [0-9a-f]{4} \[#\d+\]",
    ),
    (GuestEnd.INIT_FAILED, r"No working init found|Attempted to kill init!"),
    (GuestEnd.PANIC, r"Kernel panic - not syncing"),
    (
        GuestEnd.WARNING,
        r"WARNING: (?:CPU: \d+ PID: \d+ at )?\S+|NMI received for unknown reason"
        r"|unchecked MSR access error: ",
    ),
)
_SIGN_OF = {end: re.compile(pattern) for end, pattern in _SIGNS}
_LINE = re.compile(f"^.*(?:{'|'.join(pattern for _, pattern in _SIGNS)}).*$", re.MULTILINE)
_ORDER = [end for end, _ in _SIGNS]

# One crash says several of these, one after the other.
_FATAL = (GuestEnd.OOPS, GuestEnd.INIT_FAILED, GuestEnd.PANIC)

EVIDENCE_LINES = 16
# Of lockdep's, which tell three stacks, the one that matters is the last.
_REPORT_LINES = 80
_TOOL_LINES = 400
# As many as a guest has are told apart; more are a flood.
_MOST = 50
# Of x86 the kernel's: 0033 is what user space was at.
# RISC-V tells the function of each, and then all registers.
_REGISTER = re.compile(r"(?:pc|lr) : |RIP: 0010:|(?:epc| ra) : (?!f{8})")
_TRACE = re.compile(r"Call [Tt]race:")
_FRAME = re.compile(r"(?:\s+|\[<[0-9a-f]+>\] )(?P<function>[\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+")
# A frame that the unwinder only found on the stack, or a stack's name.
_NO_FRAME = re.compile(r"\s*(?:\? |</?[A-Z]+>)")
# Frames of those who report, and of what was called to come there: innermost of all.
_REPORTER = re.compile(
    r"_*(?:dump_|show_stack|print_|kasan_|asan_|hwasan_|kcsan_|tsan_|ubsan_|debug_print_object"
    r"|debug_object|debug_check|might_|lockdep_|lock_|check_|validate_chain|mark_|schedule_bug"
    r"|schedule_debug|warn|report_bug|handle_|raw_(?:spin|read|write)_|mutex_|down_|up_|fs_reclaim"
    r"|k?v?[mzc]alloc|kmalloc|alloc_pages|slab_|kmem_cache_|kfree|memcpy|memset|memmove)"
)
# What of a tool's report says more than its first line: which locks, which memory, which index.
_DETAIL = re.compile(
    r".*(?:is trying to acquire|already holding|, at: |in_atomic\(\)|preempt_count: "
    r"|(?:Read|Write) of size|(?:read|write|race) (?:to|at|of)|is out of (?:range|bounds)"
    r"|shift exponent|suspicious rcu_|lock not held|object type:|Freed by task|Allocated by task)"
)


@dataclass(frozen=True)
class Report:
    """One of a console: what kind of end it is, where it begins, and the lines that tell it.

    `headline` is its first line, and where the function is not in it, that.
    """

    end: GuestEnd
    start: int
    headline: str
    evidence: tuple[str, ...]


def reports(text: str) -> list[Report]:
    """All that a console without time stamps has, in its order; no more than one for a line."""
    starts: dict[int, GuestEnd] = {}
    last: GuestEnd | None = None
    for match in _LINE.finditer(text):
        kind = next(end for end, sign in _SIGN_OF.items() if sign.search(match[0]))
        if kind in _FATAL and last in _FATAL:
            continue
        starts[match.start()] = last = kind
        if len(starts) == _MOST:
            break
    ends = [*list(starts)[1:], len(text)][: len(starts)]
    return [
        _report(kind, start, text[start:end].splitlines()[:_TOOL_LINES])
        for (start, kind), end in zip(starts.items(), ends, strict=True)
    ]


def worst(found: list[Report]) -> Report | None:
    """The one that tells how the guest ended; None of none."""
    return min(found, key=lambda report: _ORDER.index(report.end), default=None)


def _report(kind: GuestEnd, start: int, lines: list[str]) -> Report:
    if kind is not GuestEnd.REPORT:
        told = lines[:_REPORT_LINES]
        return Report(kind, start, told[0].strip(), tuple(_telling(told)))
    frames = _own_frames(lines)
    first = lines[0].strip()
    culprit = frames[0][1] if frames else ""
    headline = first if not culprit or culprit in first else f"{first}, in {culprit}"
    details = [line for line in _before_stacks(lines) if _DETAIL.match(line)]
    evidence = [lines[0], *details, *(line for line, _ in frames)]
    return Report(kind, start, headline, tuple(evidence[:EVIDENCE_LINES]))


def _before_stacks(lines: list[str]) -> list[str]:
    """What a tool says first: of locks, memory, indices."""
    end = next((i for i, line in enumerate(lines) if _FRAME.match(line)), len(lines))
    return lines[1:end]


def _own_frames(lines: list[str]) -> list[tuple[str, str]]:
    """(line, function) of the stack on which it was found, without those who report.

    It is the first that a heading names; of several locks, the last before the registers.
    """
    start = next((i for i, line in enumerate(lines) if _TRACE.match(line)), 0)
    found = []
    for line in lines[start + 1 :]:
        frame = _FRAME.match(line)
        if frame and not _NO_FRAME.match(line):
            found.append((line, frame["function"]))
        elif found and not _NO_FRAME.match(line):
            break
    own = [row for row in found if not _REPORTER.match(row[1])]
    return own or found


def _telling(lines: list[str]) -> list[str]:
    """Of a crash report: its first line, where the CPU was, and the innermost frames."""
    where = [line for line in lines if _REGISTER.match(line)][:2]
    trace = next((i for i, line in enumerate(lines) if _TRACE.match(line)), None)
    if not where or trace is None:
        return lines[:EVIDENCE_LINES]
    frames = [line for line in lines[trace:] if not _NO_FRAME.match(line)]
    return [lines[0], *where, *frames[: EVIDENCE_LINES // 2]]
