#!/bin/sh
# setup.sh LIST...: install the Debian packages named in the LISTs (one a line, # starts a comment) that are missing.
#
# Quick and silent when nothing is missing, so every target that needs the packages may call it. Never asks a question.
# POSIX sh, called by `make setup` and `make setup-cross`.
set -eu

die() { echo "setup: $*" >&2; exit 1; }

command -v apt-get >/dev/null ||
	die "this is no Debian; install the equivalents of the packages in $* yourself"

wanted=$(sed 's/#.*//' "$@")
# shellcheck disable=SC2086 # a list of words
installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $wanted 2>/dev/null | sed -n 's/^ii *//p')
missing=
for package in $wanted; do
	printf '%s\n' "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

[ "$(id -u)" -eq 0 ] || die "missing:$missing; remedy: run it (make setup, or setup-cross for routers) as root"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() { # COMMAND...: show its last lines only if it fails
	"$@" >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "'$*' failed"; }
}

export DEBIAN_FRONTEND=noninteractive
set -- -o DPkg::Lock::Timeout=300 -q -y
# Lists may be missing (a fresh image) or too old to know these packages.
# shellcheck disable=SC2086
if ! apt-get "$@" --simulate --no-install-recommends install $missing >/dev/null 2>&1; then
	printf '  %-8s %s\n' APT update
	quietly apt-get "$@" update
fi
printf '  %-8s %s\n' APT "install$missing"
# shellcheck disable=SC2086
quietly apt-get "$@" --no-install-recommends install $missing
