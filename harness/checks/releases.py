# SPDX-License-Identifier: MIT
"""What kernel releases do differently, where a check depends on it; each with its commit."""

from harness.model import VersionRange

# An event that is throttled takes its whole group with it: all members are stopped, and
# started again by the tick, through the PMU's callbacks.  9734e25fbf5a (perf: Fix the throttle
# logic for a group).  Before, the interrupt handler disabled the one event without a callback.
# THROTTLE and UNTHROTTLE are written for the leader alone since e800ac51202f (perf: Only dump
# the throttle log for the leader), of the same release.
GROUPS_ARE_THROTTLED = VersionRange(since="6.16")
