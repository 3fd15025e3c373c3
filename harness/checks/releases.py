# SPDX-License-Identifier: MIT
"""What kernel releases do differently, where a check depends on it; each with its commit."""

from harness.model import VersionRange

# An event that is throttled takes its whole group with it: all members are stopped, and
# started again by the tick, through the PMU's callbacks.  9734e25fbf5a (perf: Fix the throttle
# logic for a group).  Before, the interrupt handler disabled the one event without a callback.
# THROTTLE and UNTHROTTLE are written for the leader alone since e800ac51202f (perf: Only dump
# the throttle log for the leader), of the same release.
GROUPS_ARE_THROTTLED = VersionRange(since="6.16")

# A group that is moved to a hardware PMU is without a context for an RCU grace period, which
# its enabled time lacks: synchronize_rcu() in perf_event_open(), until bd2756811766 (perf:
# Rewrite core context handling).
MOVED_GROUPS_WAIT = VersionRange(before="6.2")

# The time of a context stands still while one of its events is enabled: __perf_event_enable()
# takes EVENT_TIME out of the context, and puts it in again with another start, until 5d95a2af973d
# (perf: Add context time freeze).
ENABLING_STOPS_TIME = VersionRange(before="6.12")
