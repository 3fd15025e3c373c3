# SPDX-License-Identifier: MIT
"""pmu-harness: does a kernel keep its perf counters while it adjusts the sampling period?"""

__version__ = "0.1.0"
PROGRAM = "./pmu-harness"
