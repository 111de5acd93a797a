#!/usr/bin/env bash
# SQLite's own tests over the VFS boule; README.md tells what they are.
#
#	run.sh veryquick [PATTERN...]   the TCL suite's fast part, replicated and validated
#	run.sh full [PATTERN...]        all of the TCL suite
#	run.sh mptest                   several processes that write to one database
#	run.sh selftest                 planted bugs, each of which must be found
#	run.sh ci                       what CI runs
#	run.sh baseline veryquick|full  prints what fails with the stock VFS
#
# BOULE_VFS=plain (or replicated, the default) and BOULE_TEST_DELAY=DURATION say what is tested,
# JOBS how many scripts run at once, SQLITE_SOURCE where an unpacked source package is, and
# BOULE_SQLITE_WORK where source and programs are kept. Where the source or a tool is missing
# this says so and succeeds; with BOULE_SQLITE_REQUIRED=1 it fails.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${BOULE_SQLITE_WORK:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/boule-sqlite}
jobs=${JOBS:-$(nproc)}
kind=${BOULE_VFS:-replicated}
maxAccepted=13
unset BOULE_VFS

skip() {
	echo "sqlite: skipped: $1"
	[ -z "${BOULE_SQLITE_REQUIRED:-}" ] || exit 1
	exit 0
}

tools() {
	for tool in go gcc make tclsh patch; do
		command -v $tool >/dev/null || skip "there is no $tool"
	done
	echo '#include <tcl.h>' | gcc -fsyntax-only -I/usr/include/tcl8.6 -I/usr/include/tcl -xc - 2>/dev/null ||
		skip 'there are no headers of Tcl (package tcl-dev)'
	echo '#include <zlib.h>' | gcc -fsyntax-only -xc - 2>/dev/null || skip 'there are no headers of zlib (package zlib1g-dev)'
}

# source_package gets Debian's source package, which has the tests.
source_package() {
	if [ -n "${SQLITE_SOURCE:-}" ]; then
		src=$SQLITE_SOURCE
		return
	fi
	src=$work/source
	[ ! -e "$src/VERSION" ] || return 0
	command -v dpkg-source >/dev/null || skip 'there is no dpkg-source'
	local why
	why=$("$here/../../embed/build/debian-source.sh" "$work/apt") || skip "${why##*$'\n'}"
	rm -rf "$src" "$src.new"
	sha256sum "$work/apt"/*.dsc
	dpkg-source --no-check -x "$work/apt"/*.dsc "$src.new" >/dev/null || # apt has checked it
		skip "the source package cannot be unpacked"
	mv "$src.new" "$src"
}

# build makes the test fixture, and mptest. With "stock" as argument nothing of ours is in it.
build() {
	local options="-DSQLITE_OMIT_WAL -DSQLITE_MAX_MMAP_SIZE=0" libs="-lm -lz" dir=$work/build
	[ "${1:-}" != stock ] || dir=$work/stock
	mkdir -p "$dir"
	(
		cd "$dir"
		[ -e Makefile ] || CFLAGS=-O1 "$src/configure" --all --disable-readline >configure.log
		make sqlite3.c sqlite3.h >make.log
		if [ "${1:-}" != stock ]; then
			options="$options -DSQLITE_EXTRA_INIT=boule_init"
			CGO_ENABLED=1 CGO_CFLAGS="-O1 -I$PWD" go build -C "$here" -trimpath -ldflags '-s -w' \
				-buildmode=c-archive -o "$PWD/libboule.a" .
			gcc -O1 -Wall -c -DSQLITE_TEST=1 -I. -o shim-test.o "$here/cshim/shim.c"
			gcc -O1 -Wall -c -I. -o shim.o "$here/cshim/shim.c"
			libs="shim-test.o libboule.a $libs -lpthread -lresolv"
		fi
		rm -f testfixture
		make testfixture CC="$here/cc.sh" OPTS="$options" LDFLAGS.libsqlite3="$libs" >>make.log
		if [ "${1:-}" != stock ]; then
			"$here/cc.sh" -O1 -I. $options -DSQLITE_THREADSAFE=0 -o mptest "$src/mptest/mptest.c" sqlite3.c \
				shim.o libboule.a -lm -ldl -lpthread -lresolv
		fi
	) || exit 1
	bin=$dir
}

# scratch makes a directory in memory, for a user who is not root: root may do what the tests
# expect to be refused.
scratch() {
	local parent=/dev/shm
	[ "$(stat -f -c %T $parent 2>/dev/null)" = tmpfs ] && [ -w $parent ] || parent=${TMPDIR:-/tmp}
	dir=$(mktemp -d "$parent/boule-sqlite.XXXXXX")
	trap 'rm -rf "$dir"' EXIT
	mkdir "$dir/test"
	cp "$bin/testfixture" "$dir/"
	[ ! -e "$bin/mptest" ] || cp "$bin/mptest" "$dir/"
	cp -r "$src" "$dir/source"
	user=()
	if [ "$(id -u)" = 0 ]; then
		chown -R nobody "$dir"
		user=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
	fi
	chmod 755 "$dir"
}

# as runs a command with the VFS of a kind, as that user.
as() {
	local vfs=$1
	shift
	(
		cd "$dir"
		BOULE_VFS=$vfs BOULE_TEST_DIR=$dir/test HOME=$dir exec "${user[@]}" "$@"
	)
}

# tcl runs the suite and leaves what failed in $dir/failures.
tcl() {
	local vfs=$1 began=$SECONDS
	shift
	as "$vfs" ./testfixture source/test/testrunner.tcl --jobs "$jobs" "$@" >"$dir/out" 2>&1 || true
	tail -n 3 "$dir/out" | tr '\r' '\n' | tail -n 2
	echo "SQLite $(cat "$src/VERSION"), ${vfs:-stock VFS}, $1${2:+ (a part)}, $jobs jobs: $((SECONDS - began)) s"
	"$dir/testfixture" "$here/failures.tcl" "$dir/testrunner.db" >"$dir/failures"
}

report() {
	[ ! -e "$dir/test/counts" ] || counts
	if [ -s "$dir/test/violations" ]; then
		head -n 20 "$dir/test/violations"
		return 1
	fi
}

counts() {
	local names=(processes transactions validated uploads superseded empty hot_journal wal untracked delayed violations)
	local values i
	read -r -d '' -a values < <(od -A n -t d8 -v "$dir/test/counts") || true
	for i in "${!names[@]}"; do printf '%s %s, ' "${names[i]}" "${values[i]}"; done
	echo
}

# judge compares the failures with those of the stock VFS, and with those that are accepted.
judge() {
	sed -n 's/ *|.*//p' "$here/accepted.txt" | sort -u >"$dir/accepted"
	if [ "$(wc -l <"$dir/accepted")" -gt $maxAccepted ]; then
		echo "sqlite: accepted.txt has more than $maxAccepted lines" >&2
		return 1
	fi
	sort -u "$baseline" "$dir/accepted" >"$dir/expected"
	sort -u "$dir/failures" | comm -23 - "$dir/expected" >"$dir/unexpected"
	echo "$(wc -l <"$dir/failures") checks failed, $(sort -u "$dir/failures" | comm -12 - "$dir/accepted" | wc -l) of them accepted, $(wc -l <"$dir/unexpected") unexpected"
	local bad=0
	if [ -s "$dir/unexpected" ]; then
		cat "$dir/unexpected"
		bad=1
	fi
	report || bad=1
	return $bad
}

# suite runs the suite, after the stock VFS if nobody has written down yet what fails with that.
suite() {
	local which=$1
	shift
	baseline=$here/baseline-$which.txt
	if [ ! -e "$baseline" ]; then
		baseline=$work/baseline-$which.txt
		[ -e "$baseline" ] || (
			build stock
			scratch
			tcl '' "$which"
			mv "$dir/failures" "$baseline"
		)
		build
	fi
	scratch
	tcl "$kind" "$which" "$@"
	judge
}

# slice is what CI has the time for: what concerns files, locks, journals, crashes and damage.
slice=(alter2 altercol attach2 capi3c corrupt2 corrupt5 corrupt8 corruptA corruptD corruptG corruptJ corruptM crash2
	crash3 crash5 delete e_reindex e_vacuum incrvacuum3 index4 insert insert4 journal1 jrnlmode lock lock2 lock5 misc1
	misc3 misc6 nolock oserror pager3 quota readonly reservebytes rollback2 savepoint select1 shared shared3 symlink2
	sync2 tempdb2 temptable2 trans trans3 vacuum2 vacuum5 vacuum6)
coalesced=(select1 savepoint lock2 trans) # the same with snapshots that are put off

# mptest runs real processes, in each journal mode.
mptest() {
	scratch
	local script journal out n=0 bad=0
	for journal in delete truncate persist; do
		for script in config01 config02 crash01 multiwrite01; do
			# The scripts leave out most checks unless the VFS is called unix.
			out=$(cd "$dir/source/mptest" && BOULE_VFS_NAME=unix as "$kind" "$dir/mptest" "$dir/mp$((n += 1)).db" \
				"source/mptest/$script.test" --journalmode $journal 2>&1) || true
			out=$(grep '^Summary' <<<"$out" || tail -n 5 <<<"$out")
			echo "mptest $script $journal: $out"
			case $out in
			'Summary: 0 errors out of '[1-9]*) ;;
			*) bad=1 ;;
			esac
		done
	done
	report || bad=1
	return $bad
}

# selftest plants bugs below the tests, and wants each to be found.
selftest() {
	scratch
	local bug script
	for bug in write:trans lock:lock snapshot:select1 skip:select1; do
		script=${bug#*:}
		export BOULE_TEST_BREAK=${bug%:*}
		if as replicated timeout 120 ./testfixture "source/test/$script.test" >"$dir/out" 2>&1; then
			echo "sqlite: the bug $BOULE_TEST_BREAK went unnoticed by $script" >&2
			return 1
		fi
		echo "bug $BOULE_TEST_BREAK: found by $script"
	done
	unset BOULE_TEST_BREAK
}

[ $# -gt 0 ] || set -- veryquick
command=$1
shift
tools
source_package
echo "SQLite $(cat "$src/VERSION") (Debian $(sed -n '1s/.*(\(.*\)).*/\1/p' "$src/debian/changelog"))"
case $command in
veryquick | full) build; suite "$command" "$@" ;;
mptest) build; mptest ;;
selftest) build; selftest ;;
ci)
	build
	(selftest)
	(mptest)
	slice=("${slice[@]/#/^veryquick }")
	(suite veryquick "${slice[@]/%/.test}")
	export BOULE_TEST_DELAY=20ms
	coalesced=("${coalesced[@]/#/^veryquick }")
	(suite veryquick "${coalesced[@]/%/.test}")
	;;
baseline) build stock; scratch; tcl '' "${1:-veryquick}"; cat "$dir/failures" ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
