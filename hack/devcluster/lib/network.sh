# shellcheck shell=bash
# Owns the machine's network as far as the node changes it, and the kernel settings that it and Kubernetes change.

# Kubelet and kube-proxy set all but the first by themselves; `down` puts back what was there.
SETTINGS=(net.ipv4.ip_forward net.ipv4.conf.all.route_localnet vm.overcommit_memory kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

make_network() {
  local setting
  for setting in "${SETTINGS[@]}"; do
    sysctl -n "$setting" 2>/dev/null | sed "s/^/$setting=/"
  done >"$RUN/settings.before"
  # Mounted on itself, as the first "ip netns add" on a machine would do. Done later, under the pods that run, it would
  # hold their namespaces a second time, and none of them could be deleted any more.
  mkdir -p /run/netns
  if ! mountpoint -q /run/netns; then
    mount --bind /run/netns /run/netns
    mount --make-shared /run/netns
    touch "$RUN/netns.mounted"
  fi
  # The bridge exists before the first pod: the node's own address, which the API server advertises, is on it.
  ip link add "$BRIDGE" type bridge
  ip addr add "$NODE_IP/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  sysctl -qw net.ipv4.ip_forward=1
  # What kube-proxy does not translate (a service that is gone) must not leave this machine by the default route.
  ip route replace "$SERVICE_CIDR" dev "$BRIDGE"
}

write_pod_network() {
  cat >"$RUN/cni/10-bridge.conflist" <<K
{"cniVersion": "0.4.0", "name": "$NETWORK", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$POD_RANGE"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
K
}

remove_network() {
  local link
  kube-proxy --cleanup >/dev/null 2>&1 || true
  remove_rules
  for link in $(ip -o link show master "$BRIDGE" 2>/dev/null | awk -F '[ :@]+' '{ print $2 }'); do
    ip link del "$link" 2>/dev/null || true
  done
  ip link del "$BRIDGE" 2>/dev/null || true
  remove_namespaces
  # Refused while somebody else has a namespace in it.
  if [ -f "$RUN/netns.mounted" ]; then umount /run/netns 2>/dev/null || true; fi
  rm -rf "/var/lib/cni/networks/$NETWORK"
  sysctl -qp "$RUN/settings.before" >/dev/null 2>&1 || true
}

# Pods that died with the node left their masquerading rules (one chain a pod, named in a comment), and kubelet and
# kube-proxy leave empty chains of their own, which --cleanup does not know.
remove_rules() {
  local tool table
  for tool in iptables ip6tables; do
    for table in nat filter mangle; do
      "$tool-save" -t "$table" 2>/dev/null >"$RUN/rules" || continue
      grep -qE 'KUBE-|CNI-' "$RUN/rules" || continue
      awk -v network="name: .*\"$NETWORK" '
        FNR == NR { if ($0 ~ network) for (i = 1; i <= NF; i++) if ($i ~ /^CNI-/) ours[$i] = 1; next }
        /KUBE-/ { next }
        { for (i = 1; i <= NF; i++) { name = $i; sub(/^:/, "", name); if (name in ours) next } print }
      ' "$RUN/rules" "$RUN/rules" | "$tool-restore" -T "$table" 2>/dev/null || true
    done
  done
}

# The plugin's cache says which namespaces are this network's; others on the machine are left alone.
remove_namespaces() {
  local result namespace
  for result in /var/lib/cni/results/"$NETWORK"-*; do
    [ -e "$result" ] || continue
    while read -r namespace; do
      umount -l "$namespace" 2>/dev/null || true
      rm -f "$namespace"
    done < <(jq -r '.result.interfaces[]?.sandbox // empty' "$result" 2>/dev/null)
    # The loopback of the same pod has an entry of its own.
    rm -f "$result" /var/lib/cni/results/cni-loopback-"$(basename "${result#*"$NETWORK-"}" -eth0)"-lo
  done
}
