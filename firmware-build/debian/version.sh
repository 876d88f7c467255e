#!/bin/sh
# version.sh DESCRIBED COMMITS: the Debian version of what `git describe --tags --always --dirty` calls DESCRIBED.
#
#   v1.2.0                1.2.0
#   v1.2.0-5-gabc1234     1.2.0+5.gabc1234          newer than 1.2.0, older than 1.2.1
#   abc1234 (no tag yet)  0~COMMITS.gabc1234        older than every release, newer than what had fewer commits
#   ...-dirty             ....dirty, or 1.2.0+0.dirty: newer than that, older than the next commit
# POSIX sh, called by firmware-build/debian/module.mk; tests/debian checks the order with dpkg.
set -eu

described=$1 commits=${2:-0}

dirty=
case $described in
*-dirty) dirty=.dirty described=${described%-dirty} ;;
esac
tag=${described#v}
case $tag in
[0-9]*.[0-9]*-g*) # TAG-COUNT-gHASH; a tag may hold "-" itself (1.2.0-rc1), which Debian writes "~"
	hash=${tag##*-} rest=${tag%-*}
	version=$(printf %s "${rest%-*}" | tr - '~')+${rest##*-}.$hash ;;
[0-9]*.[0-9]*) version=$(printf %s "$tag" | tr - '~')${dirty:++0} ;;
*) version=0~$commits.g$tag ;;
esac
printf '%s\n' "$version$dirty"
