#!/bin/bash
# SPDX-License-Identifier: MIT
# mailbox.sh INBOX DONE [OPTION...]: judge each mailbox that appears in a folder, such as those of
# `b4 am -o INBOX MESSAGE-ID` or `lei q -o mboxrd:INBOX/NAME.mbox ...`, and write a reply for each.
# DONE gets a folder for each, with reply.eml in it; OPTIONs are those of `pmu-harness ci`.
# Run it from cron; what was judged is not judged again, and what got no verdict is.
set -euo pipefail

here=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
harness=${PMU_HARNESS:-$here/../../pmu-harness}
inbox=$1 done=$2
shift 2
mkdir -p "$done"

# One loop at a time.
exec 9>"$done/.lock"
flock --nonblock 9 || exit 0

for box in "$inbox"/*.mbx "$inbox"/*.mbox; do
	[ -e "$box" ] || continue
	name=$(basename "$box")
	results=$done/${name%.*}
	[ -e "$results/status" ] && continue
	rm -rf "$results"
	mkdir "$results"
	status=0
	"$harness" ci --yes "$@" --output "$results/series" "$box" >"$results/log" 2>&1 || status=$?
	case $status in
	0 | 1 | 2)
		echo "$status" >"$results/status"
		[ -e "$results/series/reply.eml" ] && cp "$results/series/reply.eml" "$results/reply.eml"
		;;
	130) exit 130 ;;
	*) echo "$name: no verdict ($status), see $results/log" >&2 ;;
	esac
	tail -n 4 "$results/log"
done
