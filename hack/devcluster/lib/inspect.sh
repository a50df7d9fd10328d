# shellcheck shell=bash
# Owns what a person or a test asks about the cluster's state. Changes nothing.

# Patient with a busy machine: a cluster that answers late is not half dead, and starting it anew would take it away
# from whoever else uses it.
is_healthy() {
  local name
  [ -d "$RUN" ] || return 1
  for name in "${COMPONENTS[@]}"; do is_alive "$name" || return 1; done
  wait_for "the API server" 30 admin get --raw /readyz --request-timeout=10s && wait_for "the node" 30 node_is_ready
}

status() {
  local name built=no
  is_built && built=yes
  echo "built: $built ($BIN)"
  if [ ! -d "$RUN" ]; then echo "up: no"; return 1; fi
  for name in "${COMPONENTS[@]}"; do
    if is_alive "$name"; then echo "$name: running, pid $(pid_of "$name")"; else echo "$name: NOT RUNNING"; fi
  done
  if is_healthy; then echo "up: yes"; else echo "up: half dead"; return 1; fi
}

diagnose() {
  local name
  [ -d "$RUN" ] || { echo "devcluster is not up"; return; }
  section "processes"
  for name in "${COMPONENTS[@]}"; do is_alive "$name" || echo "$name is NOT RUNNING"; done
  free -m
  df -h "$STATE"
  section "nodes, pods, volumes"
  admin get nodes,pods,pv,pvc,hpa,deployments -A -o wide --request-timeout=10s || true
  section "events, newest last"
  admin get events -A --sort-by=.lastTimestamp --request-timeout=10s | tail -n 60 || true
  diagnose_pods
  for name in "${COMPONENTS[@]}"; do
    section "log of $name, last lines"
    tail -n 15 "$RUN/logs/$name.log" 2>/dev/null | cut -c1-400 || true
  done
}

section() { printf '\n===== %s\n' "$*"; }

# Every pod that is not Ready, and every operator: what it was told, what it said, and what it said before it died.
diagnose_pods() {
  local namespace pod
  admin get pods -A -o json --request-timeout=10s 2>/dev/null | jq -r '
    .items[] | select((.metadata.name | test("operator")) or (.status.phase != "Succeeded" and
      ([.status.conditions[]? | select(.type == "Ready" and .status == "True")] | length) == 0))
    | "\(.metadata.namespace) \(.metadata.name)"' | while read -r namespace pod; do
    section "pod $namespace/$pod"
    admin -n "$namespace" describe pod "$pod" 2>&1 | tail -n 40 || true
    admin -n "$namespace" logs "$pod" --all-containers --tail 40 2>&1 || true
    admin -n "$namespace" logs "$pod" --all-containers --previous --tail 40 2>/dev/null || true
  done
}
