#!/bin/sh
# kernel.sh SOURCE.tar.xz ARCH CONFIG OUT: build a guest's kernel from Debian's linux source.
#
# OUT is an ELF file for `qemu -kernel`. CROSS_COMPILE of the environment names the compiler. The result is kept in
# ${XDG_CACHE_HOME:-$HOME/.cache}/jaga/guest under the sum of all that goes into it, since the build takes minutes:
# the same source, configuration and compiler are never built again. The unpacked tree (1.3 GB) goes away.
# POSIX sh, called by tests/guest/module.mk.
set -eu

tarball=$1 arch=$2 config=$(realpath "$3") out=$4
: "${CROSS_COMPILE:=}"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/jaga/guest

say() { printf '  %-8s %s\n' "$1" "$2"; }

sum=$({
	sha256sum <"$tarball"
	cat "$config"
	"${CROSS_COMPILE}gcc" --version
	echo "$arch"
} | sha256sum | cut -c1-16)
kept=$cache/vmlinux-$arch-$sum

mkdir -p "$cache" "${out%/*}"
exec 9>"$cache/kernel.lock" # who comes second takes what the first has built
flock 9
if [ ! -f "$kept" ]; then
	say KERNEL "linux for $arch from ${tarball##*/}; some minutes, once"
	work=$(mktemp -d "$(realpath "${out%/*}")/.kernel.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM HUP
	tar -xf "$tarball" -C "$work" --strip-components=1
	set -- -C "$work" -s "ARCH=$arch" "CROSS_COMPILE=$CROSS_COMPILE" \
		KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=jaga KBUILD_BUILD_HOST=guest
	if ! { KCONFIG_ALLCONFIG=$config make "$@" allnoconfig &&
		make "$@" -j"$(nproc)" vmlinux; } >"$work/log" 2>&1; then
		tail -n 30 "$work/log" >&2
		exit 1
	fi
	# What this source does not know or cannot have any more would be off in silence.
	lacks=$(sed -n 's/^\(CONFIG_[A-Z0-9_]*=\)/\1/p' "$config" | grep -vxFf "$work/.config") || lacks=
	[ -z "$lacks" ] || { printf 'kernel: this source does not take:\n%s\n' "$lacks" >&2; exit 1; }
	"${CROSS_COMPILE}strip" -o "$kept.part" "$work/vmlinux"
	mv "$kept.part" "$kept"
fi
cp "$kept" "$out.part"
mv "$out.part" "$out"
