# shellcheck shell=bash
# Owns CLUSTER=current: a cluster that belongs to somebody. Nothing is done to it before its owner said yes.

CURRENT_KUBECONFIG=$CACHE/current.kubeconfig

# The context that was agreed to, not whichever is current by now.
current_context() {
  if [ -f "$CURRENT_KUBECONFIG" ]; then kubectl --kubeconfig "$CURRENT_KUBECONFIG" config current-context; fi
}

current_up() {
  command -v kubectl >/dev/null || die "CLUSTER=current needs kubectl"
  local context answer
  context=$(kubectl config current-context) || die "CLUSTER=current: your kubeconfig has no current context"
  [ -n "${IMAGE:-}" ] || die "CLUSTER=current needs IMAGE=, a server image that '$context' can pull"
  [ -n "${OPERATOR_IMAGE:-}" ] || die "CLUSTER=current needs OPERATOR_IMAGE=, an operator image that '$context' can pull"
  say "this will use the context '$context' of your kubeconfig, in a namespace of its own"
  if [ "${YES:-}" != 1 ]; then
    [ -t 0 ] || die "say YES=1 to agree where nobody can be asked"
    read -r -p "Go on? [y/N] " answer
    [[ $answer == [yY]* ]] || die "nothing was done"
  fi
  mkdir -p "$CACHE"
  "$HERE/with-helm" true
  (umask 077 && kubectl config view --minify --flatten --raw >"$CURRENT_KUBECONFIG")
}
