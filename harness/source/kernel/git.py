# SPDX-License-Identifier: MIT
"""`git:DIR-or-URL[@REF]`: a commit of a repository, on this host or elsewhere."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from harness.ask.catalog import nearest
from harness.errors import HostError, PlanError
from harness.host.process import CommandError, capture, environment, logged
from harness.host.store import digest
from harness.source.clone import Clone
from harness.source.kernel.request import KCONFIG, MAKEFILE, Request, no_kernel, release
from harness.source.tree import Source, Tree

_HEAD = "HEAD"
# Up to where an @ or a colon belongs to the host: https://me@host/..., me@host:...
_AUTHORITY = re.compile(r"\w+://[^/]*|[\w.-]+@[\w.-]+:")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LOCAL = "file://"
_PROTOCOLS = "file:git:http:https:ssh"
_LOG = "fetch.log"
_ASK_S = 60.0
_FETCHING = (
    *("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"),
    *("-c", "core.bigFileThreshold=512m"),
)
_NETWORK = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "SSH_AUTH_SOCK"),
)


def from_git(text: str, request: Request) -> Source:
    """A commit, by any name that its repository has for it."""
    where, ref = split(text)
    if _AUTHORITY.match(where):
        return _from_url(where, ref, request)
    folder = Path(where).expanduser().resolve()
    if not folder.is_dir():
        raise PlanError(
            f"there is no repository {folder}",
            advice="write git:DIR@REF, or git:URL@REF; REF is HEAD where it is left out",
        )
    clone = Clone(folder)
    commit = clone.commit(ref)
    clone.see_that_all_is_there(commit)
    tree = Tree(request.cache.use(request.cache.sources / clone.name, f"git:{folder}"))
    with request.cache.lock(f"source-{clone.name}"):
        tree.prepare(clone)
        request.say(f"{ref} of {folder} is commit {commit}")
        return _source(tree, str(folder), commit)


def split(text: str) -> tuple[str, str]:
    """(where, ref): at the last @ that can be meant; an existing folder's name may have some."""
    text = text.removeprefix(_LOCAL)
    authority = _AUTHORITY.match(text)
    splits = list(_splits(text, authority.end() if authority else 0))
    usual = splits[min(1, len(splits) - 1)]
    if authority:
        return usual
    return next((one for one in splits if Path(one[0]).expanduser().is_dir()), usual)


def _splits(text: str, start: int) -> Iterator[tuple[str, str]]:
    """The whole with no ref, then each @ from the last on; that of HEAD@{1} is none."""
    yield text, _HEAD
    for at in range(len(text) - 1, start - 1, -1):
        if text[at] == "@" and text[at + 1 : at + 2] not in ("{", ""):
            yield text[:at], text[at + 1 :]


def _source(tree: Tree, where: str, commit: str) -> Source:
    """What a commit in the tree's store holds; raises PlanError where that is no kernel."""
    pristine = tree.git.run("rev-parse", f"{commit}^{{tree}}").strip()
    top = tree.git.names("ls-tree", "-z", "--name-only", pristine)
    makefile = tree.git.run("cat-file", "blob", f"{pristine}:{MAKEFILE}") if MAKEFILE in top else ""
    version = release(makefile)
    if version is None or KCONFIG not in top:
        raise no_kernel(f"commit {commit[:12]} of {where}")
    return Source(
        spec=f"git:{where}@{commit}",
        version=version,
        digest=pristine,
        tree=tree,
        pristine=pristine,
    )


def _from_url(url: str, ref: str, request: Request) -> Source:
    """A commit of a repository elsewhere, without its history."""
    name = f"git-{digest(url)[:12]}"
    tree = Tree(request.cache.use(request.cache.sources / name, f"git:{url}"))
    with request.cache.lock(f"source-{name}"):
        tree.prepare()
        if not (_COMMIT.fullmatch(ref) and _has(tree, ref)):
            request.say(f"fetching {ref} of {url}")
            _fetch(tree, url, ref)
            commit = tree.git.run("rev-parse", "FETCH_HEAD^{commit}").strip()
            tree.git.run("update-ref", f"refs/fetched/{commit}", commit)
            request.say(f"{ref} of {url} is commit {commit}")
            ref = commit
        return _source(tree, url, ref)


def _has(tree: Tree, commit: str) -> bool:
    try:
        tree.git.run("rev-parse", "--verify", "--quiet", f"refs/fetched/{commit}")
    except CommandError:
        return False
    return True


def _fetch(tree: Tree, url: str, ref: str) -> None:
    """Fetch one commit into the store; raises PlanError for a ref that is not there."""
    fetch = ["git", f"--git-dir={tree.git.folder}", *_FETCHING, "fetch", "--depth=1", "--no-tags"]
    log = tree.folder / _LOG
    log.unlink(missing_ok=True)
    try:
        logged([*fetch, "--", url, ref], log, env=_online())
    except CommandError as error:
        known = _refs(url)
        if known is None:
            raise HostError(
                f"cannot fetch from {url}",
                why=error.output,
                evidence=log,
                advice="check the url and the network; what was fetched before needs none: give "
                "its commit as the ref",
            ) from error
        raise PlanError(
            f"{url} has no {ref}{nearest(ref, known)}",
            why=error.output,
            advice="give a branch, a tag or a whole commit's name; git ls-remote names some",
        ) from error


def _refs(url: str) -> list[str] | None:
    """Names of branches and tags elsewhere; None where nobody answers."""
    try:
        rows = capture(["git", "ls-remote", "--", url], env=_online(), seconds=_ASK_S).splitlines()
    except (CommandError, HostError):
        return None
    return [row.split("\t")[1].split("/", 2)[-1] for row in rows]


def _online() -> dict[str, str]:
    """As the user would fetch, proxies and credentials included, but for questions."""
    return environment(
        {
            **{name: os.environ[name] for name in _NETWORK if name in os.environ},
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        }
    )
