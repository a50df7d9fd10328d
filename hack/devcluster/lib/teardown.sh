# shellcheck shell=bash
# Owns the end: no process, mount, network namespace, link or firewall rule of the cluster outlives it.

down() {
  [ -d "$RUN" ] || return 0
  local name
  cd /
  # containerd goes last: it is what ends the pods. Kubelet goes before it, or it would start them again.
  for name in metrics coredns proxy kubelet scheduler controller apiserver etcd; do stop "$name"; done
  end_pods
  stop containerd
  kill_shims
  remove_network
  remove_mounts
  remove_cgroups
  rm -rf "$RUN"
  say "down"
  report_leftovers
}

# What is listed here should not be: the next `up` may trip over it, and the machine is not as it was.
report_leftovers() {
  local found
  found=$(leftovers)
  [ -z "$found" ] || { say "left behind:"; echo "$found" >&2; return 1; }
}

leftovers() {
  local process
  ip -o link show "$BRIDGE" 2>/dev/null || true
  iptables-save 2>/dev/null | grep -E 'KUBE-|CNI-' || true
  awk -v run="$RUN/" 'index($2, run) == 1' /proc/mounts
  for process in /proc/[0-9]*/cmdline; do
    # Only what belongs to the node names its files in its arguments; editors and tests do as well, but are no leftovers.
    if [[ $(readlink "${process%cmdline}exe" 2>/dev/null) =~ ^$BIN/|/containerd ]] &&
      tr '\0' ' ' <"$process" 2>/dev/null | grep -F "$RUN/"; then :; fi
  done
}

end_pods() {
  local task id
  # A containerd that died is started once more: it takes its pods over again and can end them in good order.
  if ! is_alive containerd && [ -f "$RUN/containerd.toml" ]; then start_containerd || return 0; fi
  for task in $(node_ctr tasks ls -q 2>/dev/null); do
    node_ctr tasks kill -s KILL "$task" >/dev/null 2>&1 || true
  done
  for id in $(node_ctr containers ls -q 2>/dev/null); do
    wait_for "the end of container $id" 10 task_has_ended "$id" || true
    node_ctr tasks rm -f "$id" >/dev/null 2>&1 || true
    node_ctr containers rm "$id" >/dev/null 2>&1 || true
  done
}

task_has_ended() { ! node_ctr tasks ls | awk -v id="$1" '$1 == id && $3 != "STOPPED" { found = 1 } END { exit !found }'; }

# Whatever containerd could not end: the supervisors of this node's containers, known by the socket they were given, and
# their children.
kill_shims() {
  local process pid
  for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    [[ $(readlink "$process/exe" 2>/dev/null) == */containerd-shim-runc-v2* ]] || continue
    tr '\0' '\n' <"$process/cmdline" 2>/dev/null | grep -qxF "$RUN/ctr/containerd.sock" || continue
    xargs -r kill -KILL <"$process/task/$pid/children" 2>/dev/null || true
    kill -KILL "$pid" 2>/dev/null || true
  done
}

remove_mounts() {
  local mount
  while read -r mount; do umount -l "$mount" 2>/dev/null || true; done < <(
    awk -v run="$RUN/" 'index($2, run) == 1 { print $2 }' /proc/mounts | sort -r)
}

# Kubelet's groups are empty now. Those of another kubelet are not, and an occupied group cannot be removed.
remove_cgroups() {
  local group
  while read -r group; do rmdir "$group" 2>/dev/null || true; done < <(
    find /sys/fs/cgroup -depth -type d -path '*/kubepods*' 2>/dev/null)
}
