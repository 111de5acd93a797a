#!/usr/bin/env bash
# Ceph's S3 gateway on loopback, as Debian packages it: one monitor, one storage
# daemon in memory, one radosgw. Nothing is installed into the system.
#
#   ceph-rgw.sh fetch              download and unpack the packages (69 MB)
#   ceph-rgw.sh start DIR PORT     fetch if need be, start a fresh store, print its URL
#   ceph-rgw.sh stop DIR           end the three daemons
#
# Credentials: test / testsecret. The other daemons take the ports after PORT,
# thirty in all. Packages are kept in $BOULE_CI_CACHE, by default ~/.cache/boule-ci.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DAEMONS="radosgw ceph-osd ceph-mon" # in the order in which they end

fetch() {
	local dir=$1 deb
	[ -f "$dir/complete" ] && [ -d "$dir/tree" ] && return
	need apt-get dpkg-deb
	say "fetching Ceph's packages into $dir"
	mkdir -p "$dir/debs/partial" "$dir/tree"
	if ! apt-cache show radosgw >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
		apt-get update -qq >&2
	fi
	# Without locks: nothing of the system's package state changes.
	apt-get install -y --no-install-recommends --download-only \
		-o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" \
		-o Dir::Cache::archives="$dir/debs" radosgw ceph-mon ceph-osd >"$dir/apt.log" 2>&1 || {
		tail -n 20 "$dir/apt.log" >&2
		die "can't download Ceph's packages (is the package list there? apt-get update)"
	}
	for deb in "$dir"/debs/*.deb; do
		dpkg-deb -x "$deb" "$dir/tree"
	done
	for deb in usr/bin/ceph usr/bin/ceph-mon usr/bin/ceph-osd usr/bin/radosgw usr/bin/radosgw-admin usr/bin/monmaptool; do
		[ -e "$dir/tree/$deb" ] || die "the packages have no $deb"
	done
	date >"$dir/complete"
}

# use ROOT makes the unpacked programs and libraries those that are found.
use() {
	local arch
	arch=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo "$(uname -m)-linux-gnu")
	ROOT=$1 LIB=$1/usr/lib/$arch
	export PATH=$ROOT/usr/bin:$PATH
	export LD_LIBRARY_PATH=$LIB:$ROOT/lib/$arch:$ROOT/usr/lib/ceph:$LIB/ceph
	export PYTHONPATH=$ROOT/usr/lib/python3/dist-packages
}

configure() {
	local dir=$1 port=$2
	cat >"$dir/ceph.conf" <<-EOF
		[global]
		fsid = 0b0e0b0e-0000-4000-8000-000000000001
		mon host = $MON
		mon initial members = a
		public network = 127.0.0.0/8
		public addr = 127.0.0.1
		cluster addr = 127.0.0.1
		ms bind ipv6 = false
		ms bind port min = $((port + 3))
		ms bind port max = $((port + 29))
		auth cluster required = none
		auth service required = none
		auth client required = none

		run dir = $dir
		admin socket = $dir/\$name.asok
		pid file =
		log file = $dir/\$name.out
		crash dir = $dir
		mon data = $dir/mon
		osd data = $dir/osd
		rgw data = $dir/rgw
		erasure code dir = $LIB/ceph/erasure-code
		plugin dir = $LIB/ceph
		osd class dir = $LIB/rados-classes
		osd class load list = *
		osd class default list = *

		osd objectstore = memstore
		memstore device bytes = 4294967296
		osd crush chooseleaf type = 0
		osd pool default size = 1
		osd pool default min size = 1
		osd pool default pg num = 8
		osd pool default pgp num = 8
		osd pool default pg autoscale mode = off
		mon allow pool size one = true
		mon max pg per osd = 2000
		mon data avail warn = 2
		mon data avail crit = 1

		[client.rgw.a]
		# radosgw wants a secure connection to the monitor, for which it takes keys.
		ms mon client mode = crc
		# Without tcp_nodelay every request waits 45 ms for an acknowledgement.
		rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
		rgw dns name = s3.localhost
		rgw thread pool size = 32
	EOF
}

# admin is the ceph command line.
admin() { /usr/bin/python3 "$ROOT/usr/bin/ceph" -c "$DIR/ceph.conf" --connect-timeout 5 "$@"; }
osd_up() { admin osd stat | grep -q '1 up'; }

# step LOG COMMAND... runs a command that should say nothing.
step() {
	local log=$1
	shift
	"$@" >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "$*"
	}
}

start() {
	local port=$2 cache osd=0b0e0b0e-0000-4000-8000-000000000002
	need curl python3
	cache=$(cache_dir)/ceph-rgw
	fetch "$cache"
	use "$cache/tree"
	mkdir -p "$1"
	DIR=$(cd "$1" && pwd -P)
	local name
	for name in $DAEMONS; do
		alive "$name" "$DIR" && die "$name of $DIR is running already"
	done
	free_port "$port"
	free_port $((port + 1))
	free_port $((port + 2))
	rm -rf "$DIR/mon" "$DIR/osd" "$DIR/rgw"
	mkdir "$DIR/mon" "$DIR/osd" "$DIR/rgw"
	MON="[v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]"
	configure "$DIR" "$port"
	local conf=(-c "$DIR/ceph.conf")

	step "$DIR/monmap.log" monmaptool --create --clobber --addv a "$MON" --fsid 0b0e0b0e-0000-4000-8000-000000000001 "$DIR/monmap"
	step "$DIR/mkfs-mon.log" ceph-mon --mkfs -i a "${conf[@]}" --monmap "$DIR/monmap"
	spawn ceph-mon "$DIR" ceph-mon -f -i a "${conf[@]}"
	await ceph-mon "$DIR" 60 admin mon stat

	step "$DIR/osd-new.log" admin osd new "$osd"
	step "$DIR/mkfs-osd.log" ceph-osd -i 0 "${conf[@]}" --mkfs --osd-uuid "$osd"
	spawn ceph-osd "$DIR" ceph-osd -f -i 0 "${conf[@]}"
	await ceph-osd "$DIR" 60 osd_up

	spawn radosgw "$DIR" radosgw -f -n client.rgw.a "${conf[@]}"
	await radosgw "$DIR" 120 curl -s "http://127.0.0.1:$port/"
	step "$DIR/user.log" radosgw-admin "${conf[@]}" user create --uid test --display-name test \
		--access-key test --secret testsecret
	printf 'http://127.0.0.1:%s\n' "$port"
}

stop() {
	local name
	for name in $DAEMONS; do
		halt "$name" "$1"
	done
}

case "$#:${1-}" in
1:fetch) fetch "$(cache_dir)/ceph-rgw" ;;
3:start) start "$2" "$3" ;;
2:stop) stop "$2" ;;
*)
	sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
	exit 2
	;;
esac
