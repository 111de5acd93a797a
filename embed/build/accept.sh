#!/usr/bin/env bash
# Runs go-sqlite3's own tests with embed/sqlite3.wasm in place of the stock binary:
#
#	accept.sh [PACKAGE...]           with ours; all packages, or those given (./tests)
#	accept.sh --stock [PACKAGE...]   with the stock one, to see what fails anyway
#
# The module is copied; what its tests need from other modules, go downloads. Not run, or run
# otherwise, are:
#
#   - vfs/tests/...: they bring WebAssembly of their own (conformance/sqlitewasm has the like).
#   - ext/serdes, Test_northwind, and vfs/readervfs, Example_http: they fetch a database from the
#     network.
#   - embed, Test_init wants the version of the stock binary: it is told ours.
#   - tests, TestStmt wants π as text with 15 digits, and since 3.53 SQLite prints up to 17: it is
#     told so.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
stock=
[ "${1:-}" != --stock ] || { stock=1; shift; }
[ $# -gt 0 ] || set -- ./...
glue=$(cd "$here" && go list -m -f '{{.Dir}}' github.com/ncruces/go-sqlite3)
work=$(mktemp -d "${TMPDIR:-/tmp}/boule-wasm.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp -r "$glue" "$work/go-sqlite3"
chmod -R u+w "$work/go-sqlite3"
cd "$work/go-sqlite3"
if [ -z "$stock" ]; then
	cp "$here/../sqlite3.wasm" embed/sqlite3.wasm
	version=$(sed -n 's/^\tVersion = "\(.*\)"/\1/p' "$here/../embed.go")
	sed -i "s/\"3\.51\.3\"/\"$version\"/" embed/init_test.go
	sed -i 's/"3\.14159265358979"/"3.1415926535897931"/' tests/stmt_test.go
fi
export GOFLAGS=-mod=mod
mapfile -t packages < <(go list "$@" | grep -v /vfs/tests/)
go test -count=1 -timeout 20m -skip '^(Test_northwind|Example_http)$' "${packages[@]}" | grep -v 'no test files'
