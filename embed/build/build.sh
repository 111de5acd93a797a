#!/usr/bin/env bash
# Builds SQLite as WebAssembly and compares the result with embed/sqlite3.wasm, which must be
# equal bit for bit:
#
#	build.sh            verifies the binary in the repository
#	build.sh --accept   replaces it; for a new SQLite, option or tool
#
# It takes SQLite's source from Debian's source package, go-sqlite3's C code from the Go module
# that go.mod names, clang and lld from Debian's packages, and binaryen from npm. All of them are
# pinned below. Downloads are kept in BOULE_WASM_CACHE (a file that is there, with the right
# checksum, is not downloaded), and all else is made in a new directory below TMPDIR.
#
# Where a source or a tool can't be had, or has another version, this says which and exits with 2;
# where what comes out differs, with 1. The binary is replaced as a whole, after all else has
# succeeded, or not touched.
set -euo pipefail

sqlite_version=3.53.4
sqlite_tar=sqlite3_$sqlite_version.orig.tar.xz # from Debian's 3.53.4-2
sqlite_tar_sha256=05366adc8ee80c6b1faa71285b49d133c2121238ca58934b077fdeb95934abd4
amalgamation_sha256=0d834effeb01944cb0055aadc565aaa63cec61a2d2d2b402dc0d0304e87cc593 # sqlite3.c, after the patches
glue_version=v0.32.0
clang_version=22.1.8   # of clang-22 and lld-22; in Debian 1:22.1.8-1~deb12u1
builtins_sha256=26f4437a5e81554609f7d523796732ff51390cc2f81133c77bf36ee01b0f6e15 # compiler-rt, from libclang-rt-22-dev-wasm32
binaryen_version=132.0.0
binaryen_sha512=e14b20ef212fc0edc532ca373a8bfaaa438e1d2a1dd4812ff9ba0a921efb91396333e78d068baa0936ea5acc06cdb1bebc334efdbfefd82e207c48755a007d2e

here=$(cd "$(dirname "$0")" && pwd)
target=$(dirname "$here")/sqlite3.wasm
cache=${BOULE_WASM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/boule-wasm}

fail() {
	echo "wasm: $*" >&2
	exit 2
}

accept=
case ${1:-} in
'') ;;
--accept) accept=1 ;;
*) fail "usage: $0 [--accept]" ;;
esac

# is says whether a file has a checksum.
is() { # is sha256sum FILE CHECKSUM
	[ -e "$2" ] && [ "$($1 <"$2" | cut -d' ' -f1)" = "$3" ]
}

tools() {
	local tool version missing=()
	for tool in go cc make patch xz node npm clang-22 wasm-ld-22; do
		command -v $tool >/dev/null || missing+=("$tool")
	done
	[ ${#missing[@]} = 0 ] || fail "missing: ${missing[*]}; Debian's packages of the compiler are clang-22, lld-22 and libclang-rt-22-dev-wasm32"
	for tool in clang-22 wasm-ld-22; do
		version=$($tool --version | head -n 1)
		grep -qwF "$clang_version" <<<"$version" || fail "$tool says it is '$version', and $clang_version is pinned in $0"
	done
	builtins=$(clang-22 --print-resource-dir)/lib/wasi/libclang_rt.builtins-wasm32.a
	[ -e "$builtins" ] || fail "missing: $builtins (Debian's package libclang-rt-22-dev-wasm32)"
	is sha256sum "$builtins" $builtins_sha256 || fail "$builtins has another SHA-256 than is pinned in $0"
	glue=$(cd "$here" && go list -m -f '{{.Version}} {{.Dir}}' github.com/ncruces/go-sqlite3)
	[ "${glue%% *}" = $glue_version ] || fail "go-sqlite3 is ${glue%% *}, and $glue_version is pinned in $0"
	glue=${glue#* }
	[ -n "$glue" ] || fail 'missing: the Go module github.com/ncruces/go-sqlite3 (go mod download)'
}

# downloads leaves both archives in the cache, checked.
downloads() {
	mkdir -p "$cache"
	if ! is sha256sum "$cache/$sqlite_tar" $sqlite_tar_sha256; then
		local why
		why=$("$here/debian-source.sh" "$work/debian") || fail "${why##*$'\n'}; put $sqlite_tar into $cache"
		is sha256sum "$work/debian/$sqlite_tar" $sqlite_tar_sha256 ||
			fail "Debian sid has $(basename "$work"/debian/*.dsc .dsc) now; put $sqlite_tar with SHA-256 $sqlite_tar_sha256," \
				"which the archive of Debian's snapshots keeps, into $cache"
		mv "$work/debian/$sqlite_tar" "$cache/"
	fi
	binaryen=binaryen-$binaryen_version.tgz
	if ! is sha512sum "$cache/$binaryen" $binaryen_sha512; then
		(cd "$work" && npm pack --silent "binaryen@$binaryen_version" >/dev/null) ||
			fail "npm has no binaryen@$binaryen_version; put $binaryen into $cache"
		is sha512sum "$work/$binaryen" $binaryen_sha512 || fail "$binaryen from npm has another SHA-512 than is pinned in $0"
		mv "$work/$binaryen" "$cache/"
	fi
}

# sources makes the directory src: SQLite as one file, the extensions, go-sqlite3's C code.
sources() {
	mkdir sqlite amalgamation src binaryen
	tar -xJf "$cache/$sqlite_tar" -C sqlite --strip-components=1
	tar -xzf "$cache/$binaryen" -C binaryen --strip-components=1
	# It checks the tree against the manifest that the source id is the checksum of.
	(cd amalgamation && CFLAGS=-O1 ../sqlite/configure --disable-readline && make sqlite3.c sqlite3.h) >amalgamation.log 2>&1 ||
		{ tail -n 20 amalgamation.log >&2; fail 'sqlite3.c cannot be made'; }
	cp -r "$glue/sqlite3/." src/
	chmod -R u+w src
	cp amalgamation/sqlite3.c amalgamation/sqlite3.h amalgamation/sqlite3ext.h "$here/options.h" src/
	mkdir src/ext
	cp sqlite/ext/misc/{anycollseq,base64,decimal,ieee754,regexp,series,spellfix,uint}.c src/ext/
	cat src/*.patch "$here"/*.patch | patch -s -p0 -d src --no-backup-if-mismatch
	if [ -z "$accept" ] && ! is sha256sum src/sqlite3.c $amalgamation_sha256; then
		echo "wasm: sqlite3.c after the patches is not the one that is pinned in $0" >&2
		exit 1
	fi
}

# compile makes sqlite3.wasm, with the flags of go-sqlite3. clang is told not to run a wasm-opt
# that it may find, and the name of its output ends up in the binary. That _initialize is run now
# is essential: nobody calls it later.
compile() {
	local features=(--enable-mutable-globals --enable-nontrapping-float-to-int --enable-simd --enable-bulk-memory
		--enable-sign-ext --enable-reference-types --enable-multivalue --disable-extended-const)
	mapfile -t exports < <(sed 's/^/-Wl,--export=/' "$glue/embed/exports.txt")
	echo 'wasm: compiling'
	(cd src && clang-22 --target=wasm32 -nostdlib -std=c23 -g0 -O2 --no-wasm-opt \
		-Wall -Wextra -Wno-unused-parameter -Wno-unused-function \
		-o ../sqlite3.wasm main.c -Ilibc -I. "$builtins" \
		-mexec-model=reactor \
		-mmutable-globals -mnontrapping-fptoint -msimd128 -mbulk-memory -msign-ext \
		-mreference-types -mmultivalue -mno-extended-const -fno-stack-protector \
		-fuse-ld="$(command -v wasm-ld-22)" \
		-Wl,--stack-first -Wl,--import-undefined -Wl,--initial-memory=327680 \
		-D_HAVE_SQLITE_CONFIG_H -DSQLITE_CUSTOM_INCLUDE=options.h \
		"${exports[@]}")
	node binaryen/bin/wasm-ctor-eval -g -c _initialize sqlite3.wasm -o initialised.wasm >/dev/null
	echo 'wasm: optimising, which takes minutes'
	node binaryen/bin/wasm-opt -g initialised.wasm -o sqlite3.wasm \
		--gufa --generate-global-effects --low-memory-unused --converge -O3 "${features[@]}" --strip --strip-producers
}

work=$(mktemp -d "${TMPDIR:-/tmp}/boule-wasm.XXXXXX")
trap 'rm -rf "$work"' EXIT
tools
downloads
cd "$work"
sources
compile
sum=$(sha256sum <sqlite3.wasm | cut -d' ' -f1)
echo "SQLite $sqlite_version"
sed -n 's/^#define SQLITE_SOURCE_ID *"\(.*\)"/\1/p' src/sqlite3.h
echo "$sum  sqlite3.wasm, $(wc -c <sqlite3.wasm) bytes"
if cmp -s sqlite3.wasm "$target"; then
	echo "wasm: equal to $target"
elif [ -n "$accept" ]; then
	echo "$(sha256sum <src/sqlite3.c | cut -d' ' -f1)  sqlite3.c after the patches: amalgamation_sha256 in $0"
	cat sqlite3.wasm >"$target.new" # with the mode of a file, and not that of a program
	mv "$target.new" "$target"
	echo "wasm: replaced $target; embed.go and NOTICE have its checksum, version and source id"
else
	echo "wasm: differs from $target, which has SHA-256 $(sha256sum <"$target" | cut -d' ' -f1)" >&2
	exit 1
fi
