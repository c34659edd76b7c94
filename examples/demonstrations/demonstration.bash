# shellcheck shell=bash
# Sourced by the demonstrations beside it. `show` prints a command and runs it; `expect` says what must be in what it
# printed, and ends the demonstration where that is not so. Pods are removed at the end.

set -euo pipefail
read -ra KUBECTL <<<"${KUBECTL:-podrun kubectl}"
SHOWN="" PODS=()

kubectl() { "${KUBECTL[@]}" "$@"; }

say() { printf '\n# %s\n' "$*"; }

# show COMMAND...: as a person types it; its output is kept in SHOWN. A failure is shown, too, and is no error here.
show() {
    printf '$ %s\n' "$*"
    SHOWN=$("$@" 2>&1) || SHOWN+=$'\n'"(exit code $?)"
    printf '%s\n' "$SHOWN"
}

expect() {
    case $SHOWN in
        *"$1"*) ;;
        *) printf 'NOT AS SAID: the output above should hold: %s\n' "$1" >&2; exit 1 ;;
    esac
}

expect_not() {
    case $SHOWN in
        *"$1"*) printf 'NOT AS SAID: the output above should not hold: %s\n' "$1" >&2; exit 1 ;;
    esac
}

# pod NAME: applies the manifest on standard input and waits until the pod is Ready.
pod() {
    PODS+=("$1")
    kubectl apply -f - >/dev/null
    kubectl wait --for=condition=Ready "pod/$1" --timeout=60s >/dev/null
}

cleanup() {
    if [ ${#PODS[@]} -gt 0 ]; then
        kubectl delete pod "${PODS[@]}" --ignore-not-found --grace-period=0 --force >/dev/null 2>&1 || true
    fi
}
trap cleanup EXIT
