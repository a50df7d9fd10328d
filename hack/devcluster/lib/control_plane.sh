# shellcheck shell=bash
# Owns etcd, the API server, the controller manager and the scheduler. Ports are the caller's, and flags besides those
# here: `make scale` has a control plane of its own beside the one of devcluster.

APISERVER_FLAGS=() CONTROLLER_FLAGS=() SCHEDULER_FLAGS=()

admin() { kubectl --kubeconfig "$ADMIN" "$@"; }

start_control_plane() {
  # No fsync: the data is gone with `down` anyway, and a laptop's disk would set the pace of every write.
  start etcd etcd --data-dir "$RUN/etcd" --listen-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
    --unsafe-no-fsync
  start_apiserver
  wait_for "the API server" 90 admin get --raw /readyz
  # Node grace: while the API server is stopped by a test no heartbeat arrives. After the default 50 s the controller
  # manager would find the node dead on return and take every pod out of its service. The HPA looks every 5 s.
  start controller kube-controller-manager --kubeconfig="$RUN/controller.kubeconfig" \
    --authentication-kubeconfig="$RUN/controller.kubeconfig" --authorization-kubeconfig="$RUN/controller.kubeconfig" \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" --use-service-account-credentials=true \
    --cluster-cidr="$POD_CIDR" --leader-elect=false --node-monitor-grace-period=5m \
    --horizontal-pod-autoscaler-sync-period=5s --secure-port="$CONTROLLER_PORT" "${CONTROLLER_FLAGS[@]}"
  start scheduler kube-scheduler --kubeconfig="$RUN/scheduler.kubeconfig" \
    --authentication-kubeconfig="$RUN/scheduler.kubeconfig" --authorization-kubeconfig="$RUN/scheduler.kubeconfig" \
    --leader-elect=false --secure-port="$SCHEDULER_PORT" "${SCHEDULER_FLAGS[@]}"
}

start_apiserver() {
  # Advertised on the bridge: pods reach it there through the service `kubernetes`.
  # InternalIP: the node's name resolves nowhere, and `kubectl logs` and `exec` go to the kubelet by it otherwise.
  # The aggregator routes to endpoints: the API server is no pod and has no way to the service addresses of its own.
  start apiserver kube-apiserver --etcd-servers="http://127.0.0.1:$ETCD_PORT" --secure-port="$API_PORT" \
    --advertise-address="$NODE_IP" \
    --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$PKI/sa.key" \
    --service-account-signing-key-file="$PKI/sa.key" --authorization-mode=Node,RBAC \
    --service-cluster-ip-range="$SERVICE_CIDR" \
    --kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$PKI/ca.crt" --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --proxy-client-cert-file="$PKI/front.crt" \
    --proxy-client-key-file="$PKI/front.key" --enable-aggregator-routing=true \
    "${APISERVER_FLAGS[@]}"
}
