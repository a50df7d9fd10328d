# shellcheck shell=bash
# Owns the certificates and kubeconfigs: made anew at each start, good for 30 days.

make_certificates() {
  local name
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$PKI/ca.key" -out "$PKI/ca.crt" -days 30 -subj /CN=devcluster-ca \
    2>/dev/null
  openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
  certificate apiserver kube-apiserver k8s "IP:127.0.0.1,IP:$API_IP,IP:$NODE_IP,DNS:localhost,DNS:kubernetes,\
DNS:kubernetes.default,DNS:kubernetes.default.svc"
  certificate admin admin system:masters
  certificate controller system:kube-controller-manager devcluster
  certificate scheduler system:kube-scheduler devcluster
  certificate kubelet "system:node:$NODE" system:nodes "DNS:$NODE,IP:127.0.0.1,IP:$NODE_IP"
  certificate proxy system:kube-proxy devcluster
  certificate front front-proxy devcluster
  for name in admin controller scheduler kubelet proxy; do kubeconfig "$name"; done
}

certificate() { # file, common name, organisation, [alternative names]
  openssl req -new -newkey rsa:2048 -nodes -keyout "$PKI/$1.key" -out "$PKI/$1.csr" -subj "/O=$3/CN=$2" 2>/dev/null
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 30 \
    -out "$PKI/$1.crt" ${4:+-extfile <(echo "subjectAltName=$4")} 2>/dev/null
}

kubeconfig() { # name, which is the certificate's too
  cat >"$RUN/$1.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: devcluster, cluster: {server: "https://127.0.0.1:$API_PORT", certificate-authority: $PKI/ca.crt}}]
users: [{name: $1, user: {client-certificate: $PKI/$1.crt, client-key: $PKI/$1.key}}]
contexts: [{name: devcluster, context: {cluster: devcluster, user: $1}}]
current-context: devcluster
K
}
