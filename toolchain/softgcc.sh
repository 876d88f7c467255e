#!/bin/sh
# softgcc.sh SOURCE OBJ_DIR ARCHIVE: the part of GCC's libgcc that a 32-bit processor without FPU needs.
#
# The compiler turns 64-bit division and every floating-point operation of such a processor into calls of libgcc.
# Debian's libgcc for MIPS is compiled for an FPU: its functions would execute the instructions that are to be avoided,
# and the linker refuses to mix the two calling conventions. So these functions, and no others, are compiled from GCC's
# source with the target's own flags. GCC's makefile is not used: it needs a configured tree of the whole compiler. What
# it would have generated are the few headers made here.
# From the environment: CC and ARCH (compiler and flags), AR. POSIX sh, called by toolchain/sysroot.sh.
set -eu

source=$1/libgcc obj=$2 archive=$3

integer="_muldi3 _negdi2 _lshrdi3 _ashldi3 _ashrdi3 _cmpdi2 _ucmpdi2 _ffssi2 _ffsdi2 _clz _clzsi2 _clzdi2 _ctzsi2
	_ctzdi2 _popcount_tab _popcountsi2 _popcountdi2 _paritysi2 _paritydi2 _bswapsi2 _bswapdi2 _clrsbsi2 _clrsbdi2
	_divdi3 _moddi3 _divmoddi4 _udivdi3 _umoddi3 _udivmoddi4 _udiv_w_sdiv"
complex="_powisf2 _powidf2 _mulsc3 _muldc3 _divsc3 _divdc3"
# Of float (sf) and double (df) each.
floating="add@3 sub@3 mul@3 div@3 neg@2 eq@2 ge@2 le@2 unord@2 fix@si fixuns@si fix@di fixuns@di
	floatsi@ floatunsi@ floatdi@ floatundi@"
conversions="extendsfdf2 truncdfsf2"

rm -rf "$obj"
mkdir -p "$obj/config"
for header in auto-target coretypes libgcc_tm tm tsystem; do
	: >"$obj/config/$header.h"
done
cat >"$obj/config/tconfig.h" <<-'EOF'
#include <stddef.h>
#define MIN_UNITS_PER_WORD 4
#define BITS_PER_UNIT 8
#define HAVE_GAS_HIDDEN 1
#define inhibit_libc 1
EOF

compile() { # FILE OBJECT FLAG...
	from=$1 to=$2
	shift 2
	# shellcheck disable=SC2086 # ARCH is words
	"$CC" $ARCH -Os -ffreestanding -fbuilding-libgcc -DIN_LIBGCC2 -DIN_GCC -fvisibility=hidden -fno-stack-protector \
		-ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -w -I"$obj/config" -I"$source" \
		-I"$source/config/mips" -I"$source/soft-fp" -I"$source/../include" "$@" -c "$source/$from" -o "$obj/$to.o"
}

for name in $integer $complex; do
	compile libgcc2.c "$name" "-DL$name"
done
for name in $floating; do
	for size in sf df; do
		name_of_size=${name%@*}$size${name#*@}
		compile "soft-fp/$name_of_size.c" "$name_of_size"
	done
done
for name in $conversions; do
	compile "soft-fp/$name.c" "$name"
done

rm -f "$archive"
"$AR" rcsD "$archive" "$obj"/*.o
