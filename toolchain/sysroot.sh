#!/bin/sh
# sysroot.sh DIR: build what a router's programs are compiled and linked with into DIR, unless DIR is that already.
#
# DIR/include and DIR/lib: the kernel's headers (Debian's, for the processor), the compiler's support functions, musl,
# zlib, protobuf-c, libev, libinih, and cmocka for the tests; runtime/ of this folder is what musl lacks. DIR/bin/cc: the compiler that sees these and nothing else,
# and links static programs. It finds its files by its own place, so DIR may be moved.
# From the environment, see toolchain/musl.mk: TOOLS ARCH CFLAGS SMALL MUSL UAPI PIE, and NAME_DIR of each source (LIBGCC_DIR
# only where Debian's libgcc does not fit the processor). V=1 shows everything; without it the output goes to
# DIR.new/NAME.log, and the tail of that is shown when a step fails. DIR changes in one moment, when all is built.
# POSIX sh, called by toolchain/module.mk.
set -eu

here=$(cd "${0%/*}" && pwd)
root=$(pwd)
final=$root/$1
prefix=$final.new
CC=${TOOLS}gcc AR=${TOOLS}gcc-ar
export CC AR ARCH

for tool in "$CC" "$AR" make; do
	command -v "$tool" >/dev/null || { echo "sysroot: no $tool here; remedy: make setup-cross" >&2; exit 1; }
done
[ "$PIE" = yes ] && pic=-fPIE || pic='-fno-pic -fno-pie'
ARCH="$ARCH $pic"
# The names of our folders do not enter what is built.
CFLAGS="$CFLAGS -ffile-prefix-map=$root=."

mkdir -p "${final%/*}"
exec 9>"$final.lock"
flock 9
made_of=$({
	echo "$TOOLS $ARCH $CFLAGS $SMALL $MUSL $UAPI $PIE"
	"$CC" --version
	cat "$0" "$here/softgcc.sh" "$here"/runtime/relro.c "$here"/runtime/fortify/*.h "$here"/runtime/fortify/*/*.h
	cat "$MUSL_DIR/.unpacked" "$ZLIB_DIR/.unpacked" "$PROTOBUF_C_DIR/.unpacked" \
		"$LIBEV_DIR/.unpacked" "$LIBINIH_DIR/.unpacked" "$CMOCKA_DIR/.unpacked"
	[ -z "${LIBGCC_DIR:-}" ] || cat "$LIBGCC_DIR/.unpacked"
} | sha256sum)
if [ -f "$final/built" ] && [ "$(cat "$final/built")" = "$made_of" ]; then
	touch "$final/built"
	exit 0
fi

case ${MAKEFLAGS:-} in
*jobserver*) jobs= ;;
*)           jobs=-j$(nproc) ;;
esac

step() { # NAME COMMAND...
	log=$prefix/$1.log
	[ -n "${V:-}" ] || printf '  %-8s %s\n' BUILD "$1 for $MUSL"
	shift
	if [ -n "${V:-}" ]; then
		"$@"
		return
	fi
	# Not as a condition: the shell would go on behind a command that fails in it.
	set +e
	(set -e; "$@") >>"$log" 2>&1
	status=$?
	set -e
	[ "$status" -ne 0 ] || return 0
	tail -n 30 "$log" >&2
	echo "sysroot: '$*' failed; the whole log is in ${log#"$root"/}" >&2
	exit 1
}

copy_kernel_headers() {
	for folder in linux asm asm-generic mtd; do
		for tree in $UAPI; do
			[ ! -d "$tree/$folder" ] || cp -rL "$tree/$folder" "$prefix/include/"
		done
		[ -d "$prefix/include/$folder" ] ||
			{ echo "no $folder/ in $UAPI; remedy: make setup-cross"; return 1; }
	done
}

build_libgcc() {
	if [ -n "${LIBGCC_DIR:-}" ]; then
		"$here/softgcc.sh" "$LIBGCC_DIR" "$prefix/obj/libgcc" "$prefix/lib/libgcc.a"
	else
		# shellcheck disable=SC2086 # ARCH is words
		cp "$("$CC" $ARCH -print-libgcc-file-name)" "$prefix/lib/libgcc.a"
	fi
}

build_musl() {
	mkdir -p "$prefix/obj/musl"
	cd "$prefix/obj/musl"
	CFLAGS="$CFLAGS" CC="$CC $ARCH" RANLIB="${TOOLS}ranlib" LIBCC="$prefix/lib/libgcc.a" "$root/$MUSL_DIR/configure" --target="$MUSL" \
		--prefix="$prefix" --syslibdir="$prefix/lib" --disable-shared --disable-gcc-wrapper --enable-optimize=size
	# shellcheck disable=SC2086 # jobs is a word, or nothing
	make $jobs
	make install
	cd "$root"
}

write_compiler() {
	mkdir -p "$prefix/bin"
	cat >"$prefix/bin/cc" <<-EOF
	#!/bin/sh
	# Compiles and links static programs for $MUSL; written by toolchain/sysroot.sh. The same input gives the same
	# output in every folder: link-time optimization names its parts by a seed, and keeps the folder until it links.
	sys=\${0%/bin/cc}
	root=\${sys%/build/*}
	link=yes out=a.out before=
	for word; do
		[ "\$before" != -o ] || out=\$word
		before=\$word
		case \$word in
		-c|-S|-E|-M|-MM|-fsyntax-only|-r|-print-*|-dump*|--version|-v) link= ;;
		esac
	done
	set -- "-frandom-seed=\${out#"\$root/"}" "-ffile-prefix-map=\$root=." $ARCH -nostdinc -isystem "\$sys/fortify" -isystem "\$sys/include" -isystem $("$CC" -print-file-name=include) "\$@"
	[ "\$link" ] || exec $CC "\$@"
	exec $CC -static -no-pie $([ "$PIE" != yes ] || echo -Wl,-pie,--no-dynamic-linker,-z,text) -nostdlib -nostartfiles -L"\$sys/lib" \\
		"\$sys/lib/$([ "$PIE" = yes ] && echo rcrt1.o || echo crt1.o)" "\$sys/lib/crti.o" $([ "$PIE" != yes ] || echo '"$sys/lib/relro.o"') "\$@" \\
		-Wl,--start-group "\$sys/lib/libgcc.a" -lc -Wl,--end-group "\$sys/lib/crtn.o"
	EOF
	chmod +x "$prefix/bin/cc"
}

# Ours: what musl leaves out and a program on the internet wants to have.
build_runtime() {
	cp -r "$here/runtime/fortify" "$prefix/fortify"
	# shellcheck disable=SC2086 # CFLAGS is words
	"$prefix/bin/cc" $CFLAGS -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -c "$here/runtime/relro.c" -o "$prefix/lib/relro.o"
}

archive() { # LIBRARY SOURCE_DIR "FLAGS" FILE...: DIR/lib/LIBRARY of the C files
	library=$1 source=$2 flags=$3
	shift 3
	mkdir -p "$prefix/obj/$library"
	for file; do
		object=${file##*/}
		# shellcheck disable=SC2086 # flags are words
		"$prefix/bin/cc" $CFLAGS $SMALL $flags -c "$source/$file" -o "$prefix/obj/$library/${object%.c}.o"
	done
	"$AR" rcsD "$prefix/lib/$library" "$prefix/obj/$library"/*.o
}

build_zlib() { # the checksum of a journal needs no tables of 9 KB (Z_TESTW)
	archive libz.a "$ZLIB_DIR" "-DHAVE_UNISTD_H -DZ_TESTW=0" adler32.c crc32.c deflate.c inffast.c inflate.c inftrees.c trees.c zutil.c
	cp "$ZLIB_DIR/zlib.h" "$ZLIB_DIR/zconf.h" "$prefix/include/"
}

build_protobuf_c() {
	archive libprotobuf-c.a "$PROTOBUF_C_DIR" "-I$PROTOBUF_C_DIR" protobuf-c/protobuf-c.c
	mkdir "$prefix/include/protobuf-c"
	cp "$PROTOBUF_C_DIR/protobuf-c/protobuf-c.h" "$prefix/include/protobuf-c/"
}

# Its configure finds what Linux has had since 2.6.27; of the ways to wait, the one that is used. One thread has a loop.
build_libev() {
	archive libev.a "$LIBEV_DIR" "-w -DEV_STANDALONE -DEV_USE_MONOTONIC=1 -DEV_USE_CLOCK_SYSCALL=0 -DEV_USE_NANOSLEEP=1
		-DEV_USE_EPOLL=1 -DEV_USE_EVENTFD=1 -DEV_USE_SELECT=0 -DEV_USE_POLL=0 -DEV_USE_LINUXAIO=0 -DEV_USE_IOURING=0
		-DEV_NO_THREADS -DEV_USE_TIMERFD=0 -DEV_USE_SIGNALFD=0 -DEV_USE_INOTIFY=0" ev.c
	cp "$LIBEV_DIR/ev.h" "$prefix/include/"
}

build_libinih() {
	archive libinih.a "$LIBINIH_DIR" '' ini.c
	cp "$LIBINIH_DIR/ini.h" "$prefix/include/"
}

build_cmocka() {
	archive libcmocka.a "$CMOCKA_DIR" "-w -I$CMOCKA_DIR/include -DHAVE_MALLOC_H -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H
		-DHAVE_STRINGS_H -DHAVE_GCC_THREAD_LOCAL_STORAGE -DHAVE_CLOCK_REALTIME -DHAVE_SIGLONGJMP -DHAVE_STRSIGNAL
		-DHAVE_STRUCT_TIMESPEC -DHAVE_UINTPTR_T" src/cmocka.c
	# musl's <stdint.h> has the type behind a guard that cmocka does not know.
	{ echo '#define HAVE_UINTPTR_T 1'; cat "$CMOCKA_DIR/include/cmocka.h"; } >"$prefix/include/cmocka.h"
}

rm -rf "$prefix"
mkdir -p "$prefix/include" "$prefix/lib" "$prefix/obj"
step headers copy_kernel_headers
step libgcc build_libgcc
step musl build_musl
write_compiler
step runtime build_runtime
step zlib build_zlib
step protobuf-c build_protobuf_c
step libev build_libev
step libinih build_libinih
step cmocka build_cmocka

rm -rf "$prefix/obj"
echo "$made_of" >"$prefix/built"
rm -rf "$final"
mv "$prefix" "$final"
