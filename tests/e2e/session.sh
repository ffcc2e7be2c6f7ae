# shellcheck shell=bash
# What the steps of the session share. `run` shows a command and its output as a
# terminal would; `sees` and its like then hold the output to what a person must
# find in it. The first thing not found ends the session.

: "${root:?sourced by scripts/e2e}" "${image:?}" "${version:?}"
work=$(mktemp -d)
started=$SECONDS
checks=0 out='' status=0
background=()

# Only what an earlier run left, told by its label, is removed.
own=ldbg-e2e
cleanup() {
	local namespaces
	if kubectl get namespace linkerd-debug >/dev/null 2>&1 &&
		[ -z "$(kubectl get namespace linkerd-debug -o "jsonpath={.metadata.labels.$own}")" ]; then
		die "the namespace linkerd-debug is there and is not this test's: remove it, or use another cluster"
	fi
	namespaces=$(kubectl get namespaces -l "$own" -o name)
	[[ $namespaces != *namespace/linkerd-debug* ]] || helm uninstall -n linkerd-debug linkerd-debug --ignore-not-found --wait >/dev/null
	kubectl delete -A pods,services,networkpolicies,jobs -l "$own" --wait >/dev/null
	[ -z "$namespaces" ] || kubectl delete namespaces -l "$own" --wait >/dev/null
}

# ended STATUS: of the whole session, however it ends.
ended() {
	trap - EXIT
	if [ "$1" != 0 ]; then
		say $'\n'"=== what the cluster says"
		kubectl get pods -A -o wide >&2 || true
		kubectl logs -n linkerd-debug -l app.kubernetes.io/name=linkerd-debug --tail 20 >&2 || true
		kubectl get events -A --sort-by .lastTimestamp 2>/dev/null | tail -n 15 >&2 || true
	fi
	[ ${#background[@]} = 0 ] || kill "${background[@]}" 2>/dev/null || true
	cleanup || true
	rm -rf "$work"
	if [ "$1" = 0 ]; then
		say $'\n'"e2e: $checks expectations met in $((SECONDS - started)) s"
	else
		say $'\n'"e2e: FAILED after $checks expectations met"
	fi
	exit "$1"
}

# shown COMMAND...: as it would be typed.
shown() {
	local word line='$'
	for word; do
		case $word in
		*[!-A-Za-z0-9_./:=,@%+]*) line+=" '${word//\'/\'\\\'\'}'" ;;
		*) line+=" $word" ;;
		esac
	done
	say "$line"
}

# run COMMAND...: sets $out to what it printed, standard error first, and $status.
# kubectl carries the two streams apart: how they mix is chance, even within a line.
run() {
	shown "$@"
	status=0
	out=$(timeout 180 "$@" 2>"$work/stderr") || status=$?
	out=$(cat "$work/stderr" - <<<"$out")
	[ -z "$out" ] || say "$out"
}
# ok COMMAND...: the same, and it must succeed.
ok() { run "$@"; [ "$status" = 0 ] || fail "exit $status"; checks=$((checks + 1)); }
# exits CODE COMMAND...: the same, and it must end with that code.
exits() { local code=$1; shift; run "$@"; [ "$status" = "$code" ] || fail "exit $status, not $code"; checks=$((checks + 1)); }

fail() { say "FAILED: $*"; exit 1; }
# sees REGEX...: a line of the output matches each.
sees() {
	local regex
	for regex; do
		grep -Eq -- "$regex" <<<"$out" || fail "expected a line like: $regex"
		checks=$((checks + 1))
	done
}
# sees_no REGEX
sees_no() { ! grep -Eq -- "$1" <<<"$out" || fail "expected no line like: $1"; checks=$((checks + 1)); }
# json FILTER: jq's filter is true of the output, which must be nothing but JSON.
json() { jq -e "$1" >/dev/null <<<"$out" || fail "expected of the JSON: $1"; checks=$((checks + 1)); }
# same WHAT EXPECTED SEEN
same() { [ "$2" = "$3" ] || fail "$1: expected '$2', not '$3'"; checks=$((checks + 1)); }

# apply FILE: a manifest, with the image's name put in.
apply() {
	shown kubectl apply -f "tests/e2e/manifests/$1"
	sed "s|@IMAGE@|$image|" "tests/e2e/manifests/$1" | kubectl apply -f - >&2
}
# containers NAMESPACE/POD: the names of its containers, sidecars too, on one line.
containers() {
	kubectl get pod -n "${1%/*}" "${1#*/}" -o jsonpath='{.spec.initContainers[*].name} {.spec.containers[*].name}'
}
# injected POD..., untouched POD...: NAMESPACE/NAME each.
injected() {
	local pod
	for pod; do
		grep -qw linkerd-debug <<<"$(containers "$pod")" || fail "$pod has no container linkerd-debug: $(containers "$pod")"
		say "  $pod: $(containers "$pod")"
		checks=$((checks + 1))
	done
}
untouched() {
	local pod
	for pod; do
		! grep -qw linkerd-debug <<<"$(containers "$pod")" || fail "$pod has the container linkerd-debug"
		say "  $pod: $(containers "$pod")"
		checks=$((checks + 1))
	done
}
# await FILE REGEX: waits for a line that a command in the background writes.
await() {
	timeout 60 grep -Eqm1 -- "$2" <(tail -n +1 --pid=$$ -F "$1" 2>/dev/null) || fail "waited for '$2' in: $(cat "$1")"
}
