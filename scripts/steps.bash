# shellcheck shell=bash
# Sourced by the scripts beside it: steps that say what they do, and on failure which one, why, and what to do.

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$PROJECT/.venv
STEP_LOG=$(mktemp "${TMPDIR:-/tmp}/podrun-step.XXXXXX")
STEP_NAME="" STEP_HINT="" STEP_STARTED=0
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
unset PYTHONDONTWRITEBYTECODE # compiled modules save a tenth of a second at each start

# step NAME [WHAT TO DO IF IT FAILS]: what follows belongs to this step until the next one begins.
step() {
    step_done
    STEP_NAME=$1 STEP_HINT=${2:-} STEP_STARTED=$(date +%s%N)
    : >"$STEP_LOG"
    printf '==> %s\n' "$STEP_NAME"
}

step_done() {
    [ -z "$STEP_NAME" ] && return 0
    local took=$((($(date +%s%N) - STEP_STARTED) / 1000000))
    if [ "$took" -ge 1000 ]; then printf '    done in %d.%d s\n' $((took / 1000)) $((took % 1000 / 100)); fi
    STEP_NAME=""
}

# note TEXT...: one line below the step.
note() { printf '    %s\n' "$*"; }

# quietly COMMAND...: its output is kept, and shown only when the step fails.
quietly() { "$@" >>"$STEP_LOG" 2>&1; }

# give_up WHY [WHAT TO DO]: ends the script with the step's name.
give_up() {
    printf '%s\n' "$1" >>"$STEP_LOG"
    [ -z "${2:-}" ] || STEP_HINT=$2
    exit 1
}

step_failed() {
    local code=$1
    if [ "$code" -ne 0 ] && [ -n "$STEP_NAME" ]; then
        {
            printf '\npodrun: this step failed: %s\n' "$STEP_NAME"
            if [ -s "$STEP_LOG" ]; then
                printf 'why:\n'
                tail -n 25 "$STEP_LOG" | sed 's/^/    /'
            else
                printf 'why: exit code %d; its output is above\n' "$code"
            fi
            [ -z "$STEP_HINT" ] || printf 'what to do: %s\n' "$STEP_HINT"
        } >&2
    fi
    rm -f "$STEP_LOG"
    return 0
}
trap 'step_failed $?' EXIT

need_root() {
    [ "$(id -u)" -eq 0 ] && return
    echo "podrun: $1 makes namespaces, mounts and cgroups and must run as root: sudo $1" >&2
    exit 77
}

# debian_packages NAME...: installs those that are missing; asks the mirror nothing when none is.
debian_packages() {
    local name missing=()
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || give_up "no apt-get on this machine" \
        "install the counterparts of these Debian packages and run this again: ${missing[*]}"
    note "installing ${missing[*]}"
    quietly apt-get install -y --no-install-recommends "${missing[@]}" && return
    quietly apt-get update
    quietly apt-get install -y --no-install-recommends "${missing[@]}"
}

# python_of_debian: prints the interpreter; ends the script where it is older than 3.11.
python_of_debian() {
    local python=/usr/bin/python3
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || give_up \
        "$python is missing or older than 3.11" "podrun needs Debian 12 or 13, Ubuntu 24.04, or another system whose python3 is at least 3.11"
    echo "$python"
}

# virtual_environment EXTRAS: .venv holds the project and these extras; nothing is done when it already does.
virtual_environment() {
    local extras=$1 python wanted stamp
    python=$(python_of_debian)
    stamp=$VENV/.installed-$extras
    wanted=$({ "$python" --version; echo "$PROJECT"; cat "$PROJECT/pyproject.toml"; } | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    if ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
        quietly "$python" -m venv --clear "$VENV"
    fi
    note "installing the Python packages of pyproject.toml ($extras)"
    quietly "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable "${PROJECT}[$extras]"
    # Debian's venv brings setuptools, whose start hook adds 4 ms to each command; nothing here needs it.
    quietly "$VENV/bin/python" -m pip uninstall --yes --disable-pip-version-check setuptools || true
    echo "$wanted" >"$stamp"
}
