# shellcheck shell=bash
# Owns the node: containerd, kubelet, kube-proxy, and the two services that run as processes beside them.

node_ctr() { ctr -a "$RUN/ctr/containerd.sock" -n k8s.io "$@"; }

start_node() {
  write_pod_network
  start_containerd
  make_pause
  load "$PAUSE"
  start_kubelet
  start_proxy
  wait_for "the node" 90 node_is_ready
}

node_is_ready() { admin get node "$NODE" --no-headers | grep -q ' Ready '; }

kill_container() { # pod, namespace
  local id
  id=$(node_ctr containers ls --quiet "labels.\"io.kubernetes.pod.name\"==$1,labels.\"io.kubernetes.pod.namespace\"==$2,labels.\"io.cri-containerd.kind\"==container" |
    while read -r one; do node_ctr tasks ls | awk -v id="$one" '$1 == id && $3 == "RUNNING" { print $1 }'; done)
  [ -n "$id" ] || die "no container of the pod $1 runs"
  node_ctr tasks kill --signal SIGKILL "$id"
}

start_containerd() {
  cat >"$RUN/containerd.toml" <<K
version = 2
root = "$RUN/ctr/root"
state = "$RUN/ctr/state"
[grpc]
  address = "$RUN/ctr/containerd.sock"
[ttrpc]
  address = "$RUN/ctr/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "$RUN/ctr/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE"
  # A machine without CAP_SYS_RESOURCE may not lower an OOM score, and runc gives up when told to.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
K
  start containerd containerd -c "$RUN/containerd.toml"
  wait_for containerd 60 node_ctr version
}

start_kubelet() {
  cat >"$RUN/kubelet.yaml" <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
# Machines with cgroup v1 still serve; systemd does not run everywhere; and enforcing the node's own allotment or
# lowering kubelet's OOM score needs rights that a container or a small VM lacks.
failCgroupV1: false
cgroupDriver: cgroupfs
enforceNodeAllocatable: []
oomScoreAdj: 0
failSwapOn: false
containerRuntimeEndpoint: unix://$RUN/ctr/containerd.sock
authentication: {x509: {clientCAFile: $PKI/ca.crt}, webhook: {enabled: true}, anonymous: {enabled: false}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
# The defaults evict by disk and collect images at 85%: on a machine whose disk is nearly full pods would vanish, and
# images that only "load" can bring back with them.
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
podLogsDir: $RUN/podlogs
K
  start kubelet kubelet --config="$RUN/kubelet.yaml" --kubeconfig="$RUN/kubelet.kubeconfig" \
    --hostname-override="$NODE" --root-dir="$RUN/kubelet" --cert-dir="$PKI" --node-ip="$NODE_IP"
}

start_proxy() {
  # maxPerCore 0: the limit of the connection table is the machine's, and often cannot be written.
  cat >"$RUN/proxy.yaml" <<K
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $RUN/proxy.kubeconfig}
mode: iptables
clusterCIDR: $POD_CIDR
hostnameOverride: $NODE
conntrack: {maxPerCore: 0}
K
  start proxy kube-proxy --config="$RUN/proxy.yaml"
}

# CoreDNS and metrics-server run on the node itself, so that no image of theirs is needed.
start_addons() {
  # Port 53 may be the machine's own resolver's. Names outside the cluster are not resolved: nothing here may need them.
  printf '.:1053 {\n  bind %s\n  errors\n  cache 5\n  kubernetes cluster.local {\n    kubeconfig %s\n  }\n}\n' \
    "$NODE_IP" "$ADMIN" >"$RUN/Corefile"
  start coredns coredns -conf "$RUN/Corefile"
  start metrics metrics-server --kubeconfig="$ADMIN" --authentication-kubeconfig="$ADMIN" \
    --authorization-kubeconfig="$ADMIN" --secure-port=4443 --cert-dir="$RUN/metrics" --metric-resolution=10s \
    --kubelet-request-timeout=5s --kubelet-certificate-authority="$PKI/ca.crt" \
    --kubelet-preferred-address-types=InternalIP
  process_as_service kube-dns 53 1053 UDP "$DNS_IP"
  process_as_service metrics-server 443 4443 TCP
  admin apply -f - >/dev/null <<K
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true # it makes its own certificate
  service: {name: metrics-server, namespace: kube-system, port: 443}
K
  wait_for "the service account of the namespace default" 60 admin get serviceaccount default
}

# A Service in kube-system whose only endpoint is a process on the node.
process_as_service() { # name, port, target port, protocol, [cluster IP]
  admin apply -f - >/dev/null <<K
apiVersion: v1
kind: Service
metadata: {name: $1, namespace: kube-system}
spec: {${5:+clusterIP: $5,} ports: [{port: $2, targetPort: $3, protocol: $4}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: $1, namespace: kube-system, labels: {kubernetes.io/service-name: $1}}
addressType: IPv4
ports: [{port: $3, protocol: $4}]
endpoints: [{addresses: [$NODE_IP]}]
K
}
