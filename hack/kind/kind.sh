# shellcheck shell=bash
# Owns CLUSTER=kind: a cluster named modelroll in Docker, and the way of the images into it.

KIND_VERSION=v0.30.0 # another one makes another Kubernetes, and writes its kubeadm files otherwise (cluster.yaml)
KIND_KUBECONFIG=$CACHE/kind.kubeconfig

kind_fits() { [[ $(kind version 2>/dev/null) == "kind $KIND_VERSION "* ]]; }

can_have_kind() { kind_fits || command -v go >/dev/null || PATH=$TOOLS:$PATH kind_fits; }

# What is not on PATH, or there in another version, is built by Go, from pins.
kind_tools() {
  PATH=$TOOLS:$PATH
  mkdir -p "$TOOLS"
  kind_fits || GOBIN=$TOOLS go install "sigs.k8s.io/kind@$KIND_VERSION"
  command -v kubectl >/dev/null ||
    (cd "$HERE/devcluster/tools/kubernetes" && go build -trimpath -ldflags "-s -w" -o "$TOOLS/kubectl" k8s.io/kubernetes/cmd/kubectl)
  "$HERE/with-helm" true
}

kind_up() {
  docker_answers || die "CLUSTER=kind needs a Docker that answers ('docker info' does not)"
  can_have_kind || die "CLUSTER=kind needs kind $KIND_VERSION (https://kind.sigs.k8s.io), or Go to build it"
  kind_tools
  local part image
  if ! kind get clusters 2>/dev/null | grep -qx modelroll; then
    kind create cluster --config "$HERE/kind/cluster.yaml" --kubeconfig "$KIND_KUBECONFIG" --wait 3m
  fi
  (umask 077 && kind get kubeconfig --name modelroll >"$KIND_KUBECONFIG")
  for part in server operator; do
    image=$(image_of "$part")
    docker image inspect "$image" >/dev/null 2>&1 ||
      docker build ${BASE:+--build-arg "BASE=$BASE"} --target "$part" --tag "$image" "$PROJECT"
    kind load docker-image "$image" --name modelroll
  done
  kind_metrics
}

# What the autoscaler reads; kind brings none. The version is devcluster's; kubelet's certificate is self-made here.
kind_metrics() {
  local version
  version=$(awk '$1 == "sigs.k8s.io/metrics-server" || $2 == "sigs.k8s.io/metrics-server" { print ($1 == "require" ? $3 : $2); exit }' \
    "$HERE/devcluster/tools/metrics-server/go.mod")
  export KUBECONFIG=$KIND_KUBECONFIG
  kubectl apply -f \
    "https://github.com/kubernetes-sigs/metrics-server/releases/download/$version/components.yaml" >/dev/null
  # Set as a whole, so that a second run changes nothing.
  kubectl -n kube-system patch deployment metrics-server --type strategic --patch '{"spec": {"template": {"spec": {
    "containers": [{"name": "metrics-server", "args": ["--cert-dir=/tmp", "--secure-port=10250",
      "--kubelet-preferred-address-types=InternalIP", "--kubelet-insecure-tls", "--metric-resolution=10s"]}]}}}}' >/dev/null
  kubectl -n kube-system rollout status deployment/metrics-server --timeout=180s >/dev/null
}

kind_kill() { # pod, namespace
  local id pid
  local labels=(--label "io.kubernetes.pod.name=$1" --label "io.kubernetes.pod.namespace=$2")
  id=$(docker exec modelroll-control-plane crictl ps --quiet "${labels[@]}")
  pid=$(docker exec modelroll-control-plane crictl inspect --output go-template --template '{{.info.pid}}' "$id")
  docker exec modelroll-control-plane kill -KILL "$pid"
}

kind_down() {
  PATH=$TOOLS:$PATH
  kind delete cluster --name modelroll --kubeconfig "$KIND_KUBECONFIG"
}
