# SPDX-License-Identifier: MIT
"""Reports from a run's results: text, JUnit, HTML.  All pure."""
