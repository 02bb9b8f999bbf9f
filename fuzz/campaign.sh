#!/usr/bin/env bash
# Every target under libFuzzer, one process at a time: campaign.sh [CPU MINUTES IN ALL] [TARGET...]
# Writes fuzz/corpus, fuzz/artifacts (findings) and one line a target: executions, CPU seconds, findings.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-60}
shift || true
# More for those that have more to find: formats behind seals, and whole runs.
shares="config:1 slot:1 header:1 block:3 trailer:2 segment:3 tree:4 list:2 stamps:2 manifest:2 mark:1 event:1 gc:1 session:1
    references:2 chunker:5 compress:3 pattern:3 requests:1 selector:2 units:2 target:4 archive:6 repository:6 round_trip:6"
all=0
for share in $shares; do all=$((all + ${share#*:})); done
target_dir=${CARGO_TARGET_DIR:-fuzz/target}
host=$(rustc -vV | sed -n 's/^host: //p')
[ -n "${VAULT_FUZZ_BUILT:-}" ] || cargo +nightly fuzz build --fuzz-dir fuzz --features fuzzing
ticks() { # user and system time of a process, in hundredths of a second
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '{ print $12 + $13 }'
}
for share in $shares; do
    target=${share%:*}
    case " ${*:-$target} " in *" $target "*) ;; *) continue ;; esac
    wanted=$((minutes * 6000 * ${share#*:} / all))
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    log=fuzz/artifacts/$target.log
    # Leaks are not looked for: the threads of a pool live as long as the process, and some were taken for leaks.
    "$target_dir/$host/release/$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -max_len=4096 -timeout=60 -rss_limit_mb=4096 -detect_leaks=0 \
        -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target/" >"$log" 2>&1 &
    process=$!
    spent=0
    while now=$(ticks $process) && [ -n "$now" ]; do
        spent=$now
        if [ "$spent" -ge "$wanted" ]; then
            kill -INT $process
            break
        fi
        sleep 1
    done
    wait $process || true
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
    [ -n "$executions" ] || executions=$(sed -n 's/^#\([0-9]*\).*/\1/p' "$log" | tail -1)
    findings=$(find "fuzz/artifacts/$target" -type f | wc -l)
    echo "$target: ${executions:-0} executions, $((spent / 100)) CPU seconds, $findings findings"
done
