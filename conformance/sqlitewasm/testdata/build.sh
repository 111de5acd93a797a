#!/usr/bin/env bash
# Makes mptest.wasm.gz and speedtest1.wasm.gz from SQLite's sources and go-sqlite3's C code:
#
#	build.sh SOURCE GENERATED     an unpacked source package, and where sqlite3.c and sqlite3.h of
#	                              it are: both are left by conformance/sqlite/run.sh
#
# Those here were made of SQLite 3.53.4 (Debian's source package 3.53.4-2) and go-sqlite3
# v0.32.0 with Debian 12's clang-19 19.1.7, lld-19, libclang-rt-19-dev-wasm32 and wasi-libc
# 0.0~git20220510. Unpacked they have the SHA-256
#
#	8d661e2cea5f9cd38c1c0080a7af90bdec785db06b68b9f02212f85640cf68e1  mptest.wasm
#	1be2dec1ff759b1b201e92870a269e57a97ea87a74151c136d2e1c304fa928d1  speedtest1.wasm
#
# mptest/ has mptest's scripts as they are in that package.
set -euo pipefail
source=$1 generated=$2
here=$(cd "$(dirname "$0")" && pwd)
glue=$(go list -m -f '{{.Dir}}' github.com/ncruces/go-sqlite3)/sqlite3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cp "$generated/sqlite3.c" "$generated/sqlite3.h" "$tmp/"
patch -p0 -d "$tmp" <"$glue/vfs_find.patch" # go-sqlite3 has no list of VFSes in C
for program in "$source/mptest/mptest.c" "$source/test/speedtest1.c"; do
	name=$(basename "$program" .c)
	clang-19 --target=wasm32-wasi -Oz -g0 -std=gnu23 -w -I"$tmp" -I"$glue" -isystem /usr/include/wasm32-wasi \
		-mbulk-memory -msign-ext -mnontrapping-fptoint -mmutable-globals \
		-D_WASI_EMULATED_GETPID -D_WASI_EMULATED_PROCESS_CLOCKS -Dunlink=delete_database \
		-DSQLITE_OS_OTHER=1 -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_DESERIALIZE \
		-DSQLITE_OMIT_WAL -DSQLITE_ENABLE_RTREE -DSQLITE_MAX_MMAP_SIZE=0 -DSQLITE_UNTESTABLE \
		-Wl,--allow-undefined -Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=262144 \
		-Wl,--export=sqlite3_malloc64,--export=sqlite3_uri_key,--export=sqlite3_database_file_object \
		-Wl,--export=sqlite3_filename_database,--export=sqlite3_filename_journal,--export=sqlite3_filename_wal \
		-o "$tmp/$name.wasm" "$here/main.c" "$program" -lwasi-emulated-getpid -lwasi-emulated-process-clocks
	sha256sum "$tmp/$name.wasm"
	gzip -9 -n -c "$tmp/$name.wasm" >"$here/$name.wasm.gz"
done
