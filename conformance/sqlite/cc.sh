#!/usr/bin/env bash
# gcc, for SQLite's Makefile, which compiles the test fixture in one command: each source by
# itself, as many at a time as there are processors, and only if its object is older.
set -euo pipefail
flags=() sources=() link=() out=a.out
while [ $# -gt 0 ]; do
	case $1 in
	-o) out=$2; shift ;;
	*.c) sources+=("$1") ;;
	-l* | -L* | -Wl,* | *.o | *.a) link+=("$1") ;;
	*) flags+=("$1") ;;
	esac
	shift
done
if [ "${#sources[@]}" -lt 2 ]; then
	exec gcc "${flags[@]}" "${sources[@]}" -o "$out" "${link[@]}"
fi
export out
mkdir -p "$out.objects"
# shellcheck disable=SC2016 # expanded by the inner shell
printf '%s\0' "${sources[@]}" | xargs -0 -P "$(nproc)" -I{} sh -c '
	source=$1 object=$out.objects/$(basename "$1" .c).o
	shift
	[ "$object" -nt "$source" ] || gcc "$@" -c -o "$object" "$source"' sh {} "${flags[@]}"
objects=()
for s in "${sources[@]}"; do
	objects+=("$out.objects/$(basename "$s" .c).o")
done
exec gcc -o "$out" "${objects[@]}" "${link[@]}"
