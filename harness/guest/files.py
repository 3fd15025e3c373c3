# SPDX-License-Identifier: MIT
"""What the files are called that a guest leaves in its cell's folder."""

CONSOLE = "console.log"
RECORDS = "records.jsonl"
TRACE = "trace.log"
EXECUTED = "executed.txt"
OUTCOME = "outcome.json"
REGISTERS = "registers.txt"
# A folder: what tools printed, raw.
EVIDENCE = "tool"
