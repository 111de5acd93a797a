#!/usr/bin/env bash
# The S3 gateway versitygw on loopback, with a directory for its buckets.
#
#   versitygw.sh start DIR PORT    build it if need be, start it, print its URL
#   versitygw.sh stop DIR          end it
#
# Credentials: test / testsecret. The build (about 2 minutes, once) is kept in
# $BOULE_CI_CACHE, by default ~/.cache/boule-ci. DIR must be on a file system
# with user extended attributes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VERSION=v1.8.0

build() {
	local bin=$1/versitygw-$VERSION
	if [ ! -x "$bin/versitygw" ]; then
		need go
		say "building versitygw $VERSION into $bin"
		(cd / && GOBIN=$bin nice go install -trimpath -ldflags='-s -w' \
			"github.com/versity/versitygw/cmd/versitygw@$VERSION") >&2 || die "can't build versitygw $VERSION"
	fi
	printf '%s\n' "$bin/versitygw"
}

start() {
	local dir=$1 port=$2 bin
	need curl
	bin=$(build "$(cache_dir)")
	mkdir -p "$dir/data" "$dir/versions"
	dir=$(cd "$dir" && pwd -P)
	free_port "$port"
	spawn versitygw "$dir" env ROOT_ACCESS_KEY=test ROOT_SECRET_KEY=testsecret \
		"$bin" --port "127.0.0.1:$port" --virtual-domain s3.localhost --health /health --quiet --keep-alive \
		posix --versioning-dir "$dir/versions" "$dir/data"
	await versitygw "$dir" 20 curl -sf "http://127.0.0.1:$port/health"
	printf 'http://127.0.0.1:%s\n' "$port"
}

case "$#:${1-}" in
3:start) start "$2" "$3" ;;
2:stop) halt versitygw "$2" ;;
*)
	sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
	exit 2
	;;
esac
