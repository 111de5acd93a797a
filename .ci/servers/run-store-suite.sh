#!/usr/bin/env bash
# Runs the store suite against real servers on loopback, and stops them again,
# whatever happens.
#
#   run-store-suite.sh [SERVER...]    versitygw, ceph-rgw; all if none is named
#
# GOTESTFLAGS are passed to go test. The servers' logs are shown if it fails.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/lib.sh"

need go curl mktemp
[ $# -gt 0 ] || set -- versitygw ceph-rgw
for server; do
	[ "$server" != lib ] && [ -x "$here/$server.sh" ] || die "no server $server"
done

work=$(mktemp -d)
started=()
finish() {
	status=$?
	trap - EXIT INT TERM
	[ -z "${tests-}" ] || kill -- "-$tests" 2>/dev/null || true
	for server in ${started[@]+"${started[@]}"}; do
		"$here/$server.sh" stop "$work/$server" || status=1
	done
	if [ $status -ne 0 ]; then
		for log in "$work"/*/{versitygw,radosgw,ceph-osd,ceph-mon}.log; do
			[ -s "$log" ] && { say "the end of $log:"; grep . "$log" | tail -n 5 >&2; }
		done
	fi
	rm -rf "$work"
	[ $status -eq 0 ] && say "passed: $*" || say "FAILED with status $status"
	exit $status
}
trap 'finish "$*"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# port prints a free one with more free ones after it, most likely.
port() {
	local p i
	for i in $(seq 50); do
		p=$((20000 + RANDOM % 12000))
		(free_port "$p" && free_port $((p + 1)) && free_port $((p + 2))) 2>/dev/null && { echo "$p"; return; }
	done
	die "no free port"
}

for server; do
	started+=("$server")
	mkdir "$work/$server"
	url=$("$here/$server.sh" start "$work/$server" "$(port)")
	name=BOULE_TEST_S3_$(echo "$server" | tr a-z- A-Z_)
	export "$name=$url"
	say "$server is ready: $name=$url"
done

cd "$here/../.."
# shellcheck disable=SC2086
setsid go test -count=1 -run '^TestServers$' ${GOTESTFLAGS-} ./conformance/storetest &
tests=$! # and its process group: go test leaves its child behind when it is ended
wait "$tests"
tests=
