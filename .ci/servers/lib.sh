# Helpers of the server scripts, to be sourced.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
	say "FAILED: $*"
	exit 1
}

# cache_dir prints where downloads and builds are kept: outside the repository.
cache_dir() {
	local dir=${BOULE_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/boule-ci}
	local repo
	repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd -P)
	case $dir/ in "$repo"/*) die "the cache $dir is inside the repository; set BOULE_CI_CACHE" ;; esac
	printf '%s\n' "$dir"
}

# birth PID prints when a process started, which tells it from a later one of
# the same number. It fails if there is no such process, or only its remains.
birth() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	set -- ${stat##*) }
	[ "$1" != Z ] && printf '%s\n' "${20}"
}

# spawn NAME DIR COMMAND... starts a daemon: output in DIR/NAME.log, process id
# in DIR/NAME.pid.
spawn() {
	local name=$1 dir=$2
	shift 2
	alive "$name" "$dir" && die "$name of $dir is running already"
	setsid "$@" >"$dir/$name.log" 2>&1 </dev/null &
	local pid=$!
	printf '%s %s\n' "$pid" "$(birth "$pid")" >"$dir/$name.pid"
}

# alive NAME DIR reports whether the daemon that spawn started still runs.
alive() {
	local pid born
	[ -f "$2/$1.pid" ] || return 1
	read -r pid born <"$2/$1.pid" || return 1
	[ -n "$born" ] && [ "$(birth "$pid")" = "$born" ]
}

# halt NAME DIR ends the daemon that spawn started, and no other process.
halt() {
	local pid born i
	alive "$1" "$2" || {
		say "$1 is not running"
		rm -f "$2/$1.pid"
		return 0
	}
	read -r pid born <"$2/$1.pid"
	kill "$pid"
	for i in $(seq 50); do
		alive "$1" "$2" || break
		sleep 0.1
	done
	if alive "$1" "$2"; then
		kill -9 "$pid"
		say "$1 (pid $pid) did not end within 5 s, killed"
	else
		say "$1 (pid $pid) ended"
	fi
	rm -f "$2/$1.pid"
}

# await NAME DIR SECONDS COMMAND... waits until the command succeeds, and fails
# with the daemon's last words if it ends before, or time is up.
await() {
	local name=$1 dir=$2 limit=$((SECONDS + $3))
	shift 3
	until "$@" >/dev/null 2>&1; do
		if ! alive "$name" "$dir"; then
			tail -n 20 "$dir/$name.log" >&2
			die "$name has ended; its log is $dir/$name.log"
		fi
		if [ $SECONDS -ge $limit ]; then
			tail -n 20 "$dir/$name.log" >&2
			die "$name is not ready in time; its log is $dir/$name.log"
		fi
		sleep 0.2
	done
}

# free_port PORT fails if something listens on a loopback port.
free_port() {
	if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
		die "port $1 is in use"
	fi
}

need() {
	local tool
	for tool; do
		command -v "$tool" >/dev/null || die "$tool is needed and not installed"
	done
}
