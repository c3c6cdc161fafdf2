# Shell functions of the recipes. Source this file.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${GNP_PYTHON:-$root/.venv/bin/python}

# Large memory pages, since a step on a CPU allocates its memory anew. Only the C library of Linux
# reads this.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}

# prepare_environment [EXTRAS]: sets up .venv with the package and some extras, such as dev,data, in the
# versions of requirements.txt. Does nothing if .venv is up to date, or if GNP_PYTHON names a Python
# with these packages.
prepare_environment() {
    if [[ -n ${GNP_PYTHON:-} ]]; then
        export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
        return
    fi
    local package=$root${1:+[$1]} stamp=$root/.venv/stamp${1:+_$1} wanted base=
    wanted=$(cat "$root/requirements.txt" "$root/setup.py" | cksum)
    if [[ -x $python && -f $stamp && $(<"$stamp") == "$wanted" ]] && "$python" -c "import jax"; then
        return
    fi
    "$python" -c "import ensurepip" >/dev/null 2>&1 || base=$(find_python)
    echo "Setting up $root/.venv, which takes a few minutes the first time." >&2
    [[ -z $base ]] || "$base" -m venv --clear "$root/.venv"
    # The pins hold for the packages that are installed, and install none themselves.
    "$python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$root/requirements.txt" --editable "$package"
    echo "$wanted" >"$stamp"
}

# find_python: prints the name of a Python that can create the environment, the newest of those for
# which requirements.txt has pins.
find_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "There is no Python 3.11 or newer with the modules venv and ensurepip on the PATH;" \
        "install one, for example with: apt install python3.11 python3.11-venv" >&2
    return 2
}

# train CONFIG [FLAG...]: trains config/CONFIG.py in $working_dir and prints the run's folder.
train() {
    local small
    small_model "$@"
    "$python" -P -m gnp.main.main --config="$root/config/$1.py" --working_dir="$working_dir" \
        ${small[@]+"${small[@]}"} "${@:2}" | tee >(cat >&2) | sed -n 's/^Run: //p'
}

# sweep CONFIG [FLAG...]: trains config/CONFIG.py in $working_dir with each of SEEDS, JOBS trainings at
# the same time, and compares them in $report. FLAGs are those of gnp sweep. In a Slurm array, each task
# trains one of them, and the last task compares all.
sweep() {
    local small
    small_model "$@"
    "$python" -P -m gnp.main.sweep --config="$root/config/$1.py" --working_dir="$working_dir" \
        --out="$report" --seeds="${SEEDS// /,}" --parallel="${JOBS:-1}" \
        ${small[@]+"${small[@]}"} "${@:2}"
}

# small_model CONFIG [FLAG...]: in a smoke test, $small gets flags that make the model of config/CONFIG.py,
# or that of the FLAGs, small. A model of your own stays as it is.
small_model() {
    local name flag
    small=()
    [[ ${SMOKE:-} == 1 ]] || return 0
    name=$("$python" -P -c 'import runpy, sys
print(runpy.run_path(sys.argv[1])["get_config"]().model.model_name)' \
        "$root/config/$1.py" 2>/dev/null) || return 0 # the command itself says what is wrong
    for flag in "${@:2}"; do
        [[ $flag != --config.model.model_name=* ]] || name=${flag#*=}
    done
    case $name in
        *ShakeShake) small=(width=8 blocks_per_group=1) ;;
        WideResNet*) small=(depth=10 width=1) ;;
        PyramidNet*) small=(pyramid_depth=11 pyramid_alpha=12) ;;
        ResNet*) small=(depths=1,1 widths=8,16) ;;
        VGG*) small=(depths=1,1 widths=8,16 dense_width=32) ;;
        ViT*) small=(transformer.num_layers=1) ;;
        Swin*) small=(depths=1,1,1,1 embed_dim=48) ;;
        CaiT*) small=(depth=1 embed_dim=48) ;;
        *) return 0 ;;
    esac
    small=("${small[@]/#/--config.model.model_params.}")
}

# expected CONFIG: prints what config/CONFIG.py says of hardware, time, test error and their source.
expected() {
    echo "config/$1.py says:"
    sed '/^Hardware:/,/^\("""\)*$/!d; /^\("""\)*$/d' "$root/config/$1.py"
}

# begin EXPECTED [SEEDS]: every recipe starts with this. WORKING_DIR is the folder for runs, SEEDS the
# seeds; $report is the folder for the comparison. SMOKE=1 reduces any recipe to a few short epochs of
# a small model on generated images, as a test: $smoke holds the flags for that, with those that the
# recipe has put there.
begin() {
    recipe=$(basename "$0" .sh)
    working_dir=${WORKING_DIR:-$root/runs}
    report=$working_dir/report/$recipe
    prepare_environment data
    if [[ ${SMOKE:-} == 1 ]]; then
        SEEDS=${SEEDS:-0}
        export JAX_DISABLE_MOST_OPTIMIZATIONS=1 # nearly all of the time is compiling
        smoke=(
            --config.dataset.dataset_name=fake --config.dataset.image_size=32
            --config.dataset.num_train_images=8 --config.batch_size=4
            --config.total_epochs=2 --config.gnp.warmup_epochs=1 --config.warmup_epochs=0
            ${smoke[@]+"${smoke[@]}"}
        )
        echo "A smoke test of $recipe: a few short epochs of generated images." >&2
    else
        SEEDS=${SEEDS:-${2:-0 1 2}}
        smoke=()
        echo "$recipe: $1" >&2
    fi
}

# measure_sharpness FOLDER [FLAG...]: measures how sharp the minimum of each finished run in a folder is.
# FLAGs are those of gnp sharpness.
measure_sharpness() {
    local summary run
    while read -r summary; do
        run=${summary%/*}
        [[ -f $run/diagnostics/sharpness.json ]] ||
            "$python" -P -m gnp.main.sharpness --run="$run" --checkpoint=last "${@:2}" >&2
    done < <(find "$1" -name summary.json | sort)
}
