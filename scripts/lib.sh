# shellcheck shell=bash
# What the scripts share: sourced first, it changes to the repository's root.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1

# Programs that no package brings lie in a folder of the user's, built once.
# An ordinary user of Debian misses /usr/sbin, where tcpdump and iptables are.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/ldbg/bin
PATH=$PATH:$tools:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# usage_of FILE: the comment a script opens with is its --help.
usage_of() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

# package_version: the one version of executable, image and chart.
package_version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml; }

# cluster_up: exports KUBECONFIG and LDBG_LOAD, the command that hands the node an
# image archive. With LDBG_LOAD or LDBG_IMAGE set it is the caller's own KUBECONFIG,
# never otherwise: nobody's cluster is tried by accident. Else it is the node of
# LDBG_CLUSTER_DIR or ../shared/cluster, whose kubectl and helm come on PATH.
cluster_up() {
	if [ -n "${LDBG_LOAD:-}${LDBG_IMAGE:-}" ]; then
		[ -n "${KUBECONFIG:-}" ] || die "LDBG_LOAD and LDBG_IMAGE go with KUBECONFIG, which is not set"
		return 0
	fi
	local cluster=${LDBG_CLUSTER_DIR:-../shared/cluster}
	[ -x "$cluster/up" ] || die "no Kubernetes: LDBG_CLUSTER_DIR names a folder with the programs 'up' and 'load'," \
		"or KUBECONFIG a cluster and LDBG_LOAD the command that loads an image archive into it"
	KUBECONFIG=$("$cluster/up")
	LDBG_LOAD=$cluster/load
	export KUBECONFIG LDBG_LOAD
	PATH=$(dirname "$KUBECONFIG")/../bin:$PATH
}
