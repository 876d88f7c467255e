#!/bin/sh
# run.sh BUILD_DIR SECONDS NAME...: runs each fuzzer for so long, over its seeds and what earlier runs found.
#
# A crash, a leak, more than 512 MB or an input of more than 30 s fails (by the clock on the wall, on which a niced fuzzer
# waits for its turn as well); the input is kept and named.
# Last line: "N passed, N failed". POSIX sh, called by tests/fuzz.mk.
set -eu

build=$1 seconds=$2
shift 2

# Freed memory is kept back from reuse to find late uses; the default of 256 MB would hide a leak.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=32"

passed=0 failed=0
for name; do
	seeds=tests/fuzz/corpus/$name
	found=$build/corpus/$name
	log=$build/$name.log
	mkdir -p "$found" "$build/artifacts"
	if [ ! -d "$seeds" ]; then
		echo "fuzz: $name has no seeds in $seeds" >&2
		failed=$((failed + 1))
		continue
	fi
	if "$build/fuzz/$name" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=512 -print_final_stats=1 \
		-artifact_prefix="$build/artifacts/$name-" "$found" "$seeds" >"$log" 2>&1; then
		passed=$((passed + 1))
		printf '  %-8s %s: %s inputs\n' FUZZ "$name" \
			"$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
	else
		failed=$((failed + 1))
		tail -n 40 "$log" >&2
		echo "fuzz: $name failed; the whole log is $log" >&2
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
