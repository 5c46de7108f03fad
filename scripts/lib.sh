# shellcheck shell=bash
# What the scripts share. Sourced, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top" || exit 1

# sudo and cron know little of PATH; Go's own installer puts it there.
PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin
export PATH

say() { printf '\n== %s\n' "$*"; }
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "needs root, for network namespaces and BPF: sudo $0 $*"
}

need_go() {
	command -v go >/dev/null || die "Go is missing: install Go 1.26 or newer from https://go.dev/dl to /usr/local/go, or put it into PATH"
	local have want
	have=$(go env GOVERSION)
	want=go$(sed -n 's/^go //p' go.mod)
	[ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ] ||
		[ "$(go env GOTOOLCHAIN)" != local ] || die "Go is too old: $have, want $want or newer"
}
