#!/usr/bin/env bash
# Downloads Debian's source package of SQLite into a new directory:
#
#	debian-source.sh DIRECTORY
#
# It comes from sid, and apt verifies it by the archive's signature. Sid does not keep old
# versions, so it is the newest. The system's own lists of sources are neither read nor changed.
# Where something is missing this says so and fails.
set -euo pipefail
dir=$1
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $keys ] || { echo "there is no $keys"; exit 1; }
command -v apt-get >/dev/null || { echo 'there is no apt-get'; exit 1; }
rm -rf "$dir"
mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache"
cd "$dir"
echo "deb-src [signed-by=$keys] http://deb.debian.org/debian sid main" >apt/sources.list
apt() {
	apt-get -qq -o Dir::Etc::sourcelist="$PWD/apt/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}
if ! { apt update && apt source --download-only sqlite3 >/dev/null; }; then
	echo 'the source package sqlite3 of Debian sid cannot be had'
	exit 1
fi
rm -rf apt
