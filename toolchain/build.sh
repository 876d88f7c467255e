#!/bin/sh
# build.sh ROLE PREFIX MBEDTLS_DIR LIBCOAP_DIR: build mbedTLS and libcoap for ROLE (agent or collector) into PREFIX,
# unless PREFIX holds just that already.
#
# Leaves PREFIX/include and PREFIX/lib with static libraries. The configuration header of the role, MBEDTLS_CONFIG beside
# this script, is installed as mbedtls/mbedtls_config.h, the one that mbedTLS's own headers include by default: whoever compiles against PREFIX
# cannot see another configuration than the one its libraries were built with.
# From the environment: TARGET_CC, TARGET_AR, TARGET_CFLAGS, TARGET_SMALL (beside, for libcoap), TARGET_CMAKE,
# TARGET_SYSROOT; see toolchain/host.mk and musl.mk. V=1 shows everything;
# without it the output goes to PREFIX.new/*.log, and the tail of that is shown when a step fails. PREFIX changes in one
# moment, when all is built; PREFIX/built says what it was made of; two makes at once take turns.
# POSIX sh, called by toolchain/module.mk.
set -eu

role=$1 mbedtls=$3 libcoap=$4
here=$(cd "${0%/*}" && pwd)
root=$(pwd)
final=$root/$2
prefix=$final.new
config=$here/$MBEDTLS_CONFIG

case $role in
agent)     log_level=4 ;; # warnings; their texts are flash
collector) log_level=7 ;;
*)         echo "build.sh: unknown role '$role'" >&2; exit 2 ;;
esac

for tool in cmake make "$TARGET_CC" "$TARGET_AR"; do
	command -v "$tool" >/dev/null || { echo "build: no $tool here; remedy: make setup" >&2; exit 1; }
done

exec 9>"$final.lock"
flock 9
made_of=$({
	echo "$TARGET_CC $TARGET_AR $TARGET_CFLAGS ${TARGET_SMALL:-} ${TARGET_CMAKE:-}"
	[ -z "${TARGET_SYSROOT:-}" ] || cat "$TARGET_SYSROOT/built"
	echo "$MBEDTLS_CONFIG" && cat "$0" "$here"/mbedtls_config*.h "$mbedtls/.unpacked" "$libcoap/.unpacked"
} | sha256sum)
if [ -f "$final/built" ] && [ "$(cat "$final/built")" = "$made_of" ]; then
	touch "$final/built"
	exit 0
fi

# A make that shares out jobs shares them with cmake's make too; otherwise use what the machine has.
case ${MAKEFLAGS:-} in
*jobserver*) jobs= ;;
*)           jobs=-j$(nproc) ;;
esac

logged() { # LOG COMMAND...
	log=$prefix/$1.log
	shift
	if [ -n "${V:-}" ]; then
		"$@"
	elif ! "$@" >>"$log" 2>&1; then
		tail -n 30 "$log" >&2
		echo "build: '$*' failed; the whole log is in ${log#"$root"/}" >&2
		exit 1
	fi
}

cmake_build() { # NAME SOURCE_DIR CFLAGS CMAKE_ARGUMENT...
	name=$1 source=$2 cflags=$3
	shift 3
	[ -n "${V:-}" ] || printf '  %-8s %s\n' BUILD "$name for the $role (log: ${prefix#"$root"/}/$name.log)"
	# libcoap would take Jaga's own `git describe` for its version.
	# shellcheck disable=SC2086 # TARGET_CMAKE and jobs are words, or nothing
	GIT_DIR=/nonexistent logged "$name" cmake -S "$source" -B "$prefix/obj/$name" \
		-DCMAKE_BUILD_TYPE=None -DCMAKE_C_COMPILER="$TARGET_CC" -DCMAKE_AR="$(command -v "$TARGET_AR")" \
		-DCMAKE_C_FLAGS="$cflags -ffunction-sections -fdata-sections -ffile-prefix-map=$root=." \
		-DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED_LIBS=OFF \
		-DCMAKE_MAKE_PROGRAM="$(command -v make)" ${TARGET_CMAKE:-} "$@"
	# shellcheck disable=SC2086
	logged "$name" make -C "$prefix/obj/$name" $jobs
	logged "$name" make -C "$prefix/obj/$name" install
}

rm -rf "$prefix"
mkdir -p "$prefix"

cmake_build mbedtls "$mbedtls" "$TARGET_CFLAGS" -DMBEDTLS_CONFIG_FILE="$config" \
	-DENABLE_PROGRAMS=OFF -DENABLE_TESTING=OFF -DGEN_FILES=OFF -DMBEDTLS_FATAL_WARNINGS=OFF
for header in "$here"/mbedtls_config*.h; do
	cp "$header" "$prefix/include/mbedtls/jaga_${header##*/mbedtls_}"
done
sed -i 's|"mbedtls_config\(.*\)\.h"|"mbedtls/jaga_config\1.h"|' "$prefix/include/mbedtls/"jaga_config*.h
echo "#include \"mbedtls/jaga_${MBEDTLS_CONFIG#mbedtls_}\"" >"$prefix/include/mbedtls/mbedtls_config.h"

# Off: what Jaga does not use and a remote party could reach. The thread locks: one thread owns a context. HAVE_IFADDRS_H:
# a dump of all interfaces every 30 s, to recognise broadcasts, which no DTLS session comes from.
cmake_build libcoap "$libcoap" "$TARGET_CFLAGS ${TARGET_SMALL:-}" \
	-DENABLE_DTLS=ON -DDTLS_BACKEND=mbedtls -DMBEDTLS_INCLUDE_DIRS="$prefix/include" \
	-DMBEDTLS_LIBRARY="$prefix/lib/libmbedtls.a" -DMBEDX509_LIBRARY="$prefix/lib/libmbedx509.a" \
	-DMBEDCRYPTO_LIBRARY="$prefix/lib/libmbedcrypto.a" \
	-DENABLE_CLIENT_MODE=ON -DENABLE_SERVER_MODE=ON -DWITH_EPOLL=ON -DMAX_LOGGING_LEVEL="$log_level" \
	-DENABLE_TCP=OFF -DENABLE_WS=OFF -DENABLE_AF_UNIX=OFF -DENABLE_OSCORE=OFF -DENABLE_PROXY_CODE=OFF \
	-DENABLE_ASYNC=OFF -DENABLE_Q_BLOCK=OFF -DWITH_OBSERVE_PERSIST=OFF -DENABLE_THREAD_SAFE=OFF \
	-DHAVE_IFADDRS_H= -DENABLE_EXAMPLES=OFF -DENABLE_DOCS=OFF -DENABLE_TESTS=OFF

# Its absolute paths are those of PREFIX.new, and nobody reads them.
rm -rf "$prefix/obj" "$prefix/lib/cmake" "$prefix/lib/pkgconfig"
echo "$made_of" >"$prefix/built"
rm -rf "$final"
mv "$prefix" "$final"
