# SPDX-License-Identifier: MIT
"""A tiny kernel tree that kbuild's targets build in no time, and a QEMU that is a script."""

import subprocess
import sys
import tarfile
from pathlib import Path

from tests.conftest import CAPTURES

MAKEFILE = """\
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 1
Image: $(O)/arch/arm64/boot/Image
$(O)/arch/arm64/boot/Image: kernel/core.c
\t@mkdir -p $(dir $@)
\t@grep -q 'error:' $< && { cat $<; exit 1; } || :
\tcp $< $@
\tcp $< $(O)/System.map
\tmkdir -p $(O)/kernel
\tprintf 'savedcmd_x := cc\\n\\nsource_x := %s\\n\\ndeps_x := \\\\\\n  %s \\\\\\n' \\
\t\t$(CURDIR)/kernel/core.c $(CURDIR)/kernel/core.h > $(O)/kernel/.core.o.cmd
%.o: %.c
\t@grep -q 'error:' $< && { cat $<; exit 1; } || :
\tmkdir -p $(O)/$(dir $@)
\tcp $< $(O)/$@
allnoconfig:
\tgrep -v DROPPED $(KCONFIG_ALLCONFIG) > $(O)/.config
modules:
\t@test -z "$(M)" || for source in $(M)/*.c; do cp $$source $${source%.c}.ko; done
.PHONY: allnoconfig modules Image
"""

QEMU = r'''#!{python}
"""Speaks QMP on one inherited socket, plays a guest's console on the other."""
import gzip, json, os, re, signal, socket, struct, sys, time

words = "\n".join(sys.argv)
monitor = socket.socket(fileno=int(re.search(r"id=monitor,fd=(\d+)", words)[1]))
console = socket.socket(fileno=int(re.search(r"id=console,fd=(\d+)", words)[1]))
channel = re.search(r"id=channel,.*mem-path=(.+)", words)[1]
trace = (re.findall(r"\n-D\n(.+)", words) or [os.devnull])[0]
script = open(re.search(r"-kernel\n(.+)", words)[1]).read()
if "--version" in sys.argv:
    sys.exit("QEMU emulator version 0")

def say(data):
    monitor.sendall(json.dumps(data).encode() + b"\r\n")

version = {{"qemu": {{"major": 7, "minor": 2, "micro": 0}}, "package": ""}}
say({{"QMP": {{"version": version, "capabilities": []}}}})
buffer = ""
NOW = {{"timestamp": {{"seconds": 0, "microseconds": 0}}}}

def commands():
    """JSON objects, one after the other, with nothing between them."""
    global buffer
    while data := monitor.recv(4096):
        buffer = (buffer + data.decode()).lstrip()
        try:
            command, end = json.JSONDecoder().raw_decode(buffer)
        except ValueError:
            continue
        buffer = buffer[end:].lstrip()
        yield command

def human(line):
    if line == "info usernet":
        port = (re.findall(r"^port (\d+)", script, re.M) or ["1"])[0]
        return f"  TCP[HOST_FORWARD]  12  127.0.0.1 {{port}}  10.0.2.15 22"
    return "PC=0000000000000010"

def migrated(command):
    """How it went to save the machine, or to load it."""
    if command.startswith("migrate") and command.count("-") != 2:
        status = "failed" if "migration fails" in script else "completed"
        say({{"event": "MIGRATION", "data": {{"status": status}}, **NOW}})

def serve(until):
    for command in commands():
        line = command.get("arguments", {{}}).get("command-line")
        reply = {{"return": human(line) if line else {{}}}}
        if "id" in command:
            reply["id"] = command["id"]
        say(reply)
        migrated(command["execute"])
        if command["execute"] == until:
            return

def records(lines):
    with open(channel, "r+b") as file:
        file.write(struct.pack("<QQ", 0x31434552554D50, len(lines)) + lines)

# A machine that was saved goes on where its script says so.
script = script.split("\nsaved\n")[-1 if "-incoming" in words else 0]
serve("cont")
for line in script.splitlines():
    verb, _, rest = line.partition(" ")
    if verb == "print":
        console.sendall(rest.encode() + b"\r\n")
    elif verb == "outer":
        with open(re.search(r"id=outer,append=on,path=(.+)", words)[1], "a") as file:
            file.write(rest + "\n")
    elif verb == "records":
        records(rest.replace("\\n", "\n").encode())
    elif verb == "capture":
        records(gzip.open(rest).read())
    elif verb == "garbage":
        with open(channel, "r+b") as file:
            file.write(b"\xff" * 64)
    elif verb == "flood":
        try:
            while True:
                console.sendall(b"x" * 4095 + b"\n")
        except OSError:
            sys.exit()
    elif verb == "trace":
        with open(trace, "a") as file:
            file.write(rest.replace("\\n", "\n"))
    elif verb == "trace-flood":
        # Python ignores the signal of a full file; a thread of QEMU's blocks it, or dies.
        signal.signal(signal.SIGXFSZ, getattr(signal, rest))
        try:
            with open(trace, "ab", 0) as file:
                while True:
                    file.write(b"x" * 65536)
        except OSError:
            pass
    elif verb == "stop":
        say({{"event": "STOP", **NOW}})
    elif verb == "hang":
        serve("quit")
    elif verb == "await":
        while not os.path.exists(rest):
            time.sleep(0.01)
    elif verb == "crash":
        os.abort()
    elif verb == "kill":
        os.kill(os.getpid(), int(rest))
    elif verb == "asked":
        sys.exit(print(f"qemu: terminating on signal {{rest}}", file=sys.stderr))
event = {{"event": "SHUTDOWN", "data": {{"guest": True, "reason": "guest-shutdown"}}}}
say({{**event, **NOW}})
'''

END = '{"kind":"end","steps":1}'
DONE = f"print pmu-harness: ready\nrecords {END}\\n\nprint pmu-harness: done\n"


def make_tree(folder: Path, content: str = DONE) -> Path:
    """A tree whose only kernel file becomes the image."""
    (folder / "kernel").mkdir(parents=True)
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / "Kconfig").write_text("")
    (folder / "kernel" / "core.c").write_text(content)
    return folder


def make_qemu(folder: Path) -> Path:
    """An executable that takes QEMU's command line and plays the script in the kernel's file."""
    script = folder / "qemu"
    script.write_text(QEMU.format(python=sys.executable))
    script.chmod(0o755)
    return script


def git(folder: Path, *argv: str) -> str:
    """What a git command says in a folder."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *identity, *argv], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


def diff(path: str, old: str, new: str, *below: str) -> str:
    """A patch that changes the first line of a file, with lines of context below it."""
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n"
    count = f",{1 + len(below)}" if below else ""
    context = "".join(f" {line}\n" for line in below)
    return f"{head}@@ -1{count} +1{count} @@\n-{old}\n+{new}\n{context}"


def added(path: str, line: str = "x", mode: str = "100644") -> str:
    """A patch that adds a file of one line."""
    head = f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n"
    return f"{head}@@ -0,0 +1 @@\n+{line}\n"


CONFIGURE = """\
#!/bin/sh
here=$(dirname "$0")
echo "configured with $*"
cat >build.ninja <<END
rule compile
  command = sh $here/compile \\$in \\$out
build qemu-fake: compile $here/main.c
build other: compile $here/other.c
END
"""

# A compiler of one line, for a patch's sake.
COMPILE = (
    "grep error: $1 && exit 1; "
    r"""printf '#!/bin/sh\necho "%s"\n' "$(cat $1)" >$2 && chmod +x $2"""
)


def make_qemu_source(folder: Path) -> Path:
    """A tarball whose configure writes a build.ninja that makes a program of main.c's line."""
    tree = folder / "qemu-10.0.1"
    (tree / "pc-bios").mkdir(parents=True)
    for name, text in {
        "VERSION": "10.0.1\n",
        "configure": CONFIGURE,
        "compile": f"{COMPILE}\n",
        "main.c": "one\n",
        "other.c": "other\n",
        "pc-bios/own.bin": "own\n",
    }.items():
        (tree / name).write_text(text)
    (tree / "configure").chmod(0o755)
    tarball = folder / "qemu-10.0.1.tar.gz"
    with tarfile.open(tarball, "w:gz") as archive:
        archive.add(tree, tree.name)
    return tarball


def played(name):
    """A one-line guest: it prints its milestones and leaves captured records."""
    file = CAPTURES / f"{name}.jsonl.gz"
    return f"print pmu-harness: ready~capture {file}~print pmu-harness: done"


CLEAN = played("6.12/cycles-task")
BEFORE = played("6.12+pre-callbacks/cycles-task")
PANIC = "print Kernel panic - not syncing: saboteur"
