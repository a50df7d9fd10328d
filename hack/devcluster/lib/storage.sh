# shellcheck shell=bash
# Owns the volumes: directories of the node, each bound to one claim. There is no provisioner.

volume() { # claim, [namespace]
  local claim=${1:-} namespace=${2:-default}
  [ -n "$claim" ] || die "usage: devcluster volume NAME [NAMESPACE]"
  local name=$namespace-$claim directory
  directory=$RUN/volumes/$name
  local phase
  phase=$(admin -n "$namespace" get pvc "$claim" --ignore-not-found --output=jsonpath='{.status.phase}')
  case $phase in
    Bound) return ;;
    Pending) die "the claim $claim of $namespace is there, and no volume fits it; delete it, and this makes one that does" ;;
  esac
  # What an earlier claim of that name left behind: a released volume never binds again.
  admin delete pv "$name" --ignore-not-found >/dev/null
  rm -rf "$directory"
  # Kubernetes applies no fsGroup to a hostPath: the directory itself must belong to the pods' user.
  install -d -m 0775 -o "$POD_UID" -g "$POD_UID" "$directory"
  admin apply -f - >/dev/null <<K
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce, ReadOnlyMany, ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  claimRef: {namespace: $namespace, name: $claim}
  hostPath: {path: $directory, type: Directory}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $claim, namespace: $namespace}
spec:
  accessModes: [ReadWriteMany]
  storageClassName: ""
  volumeName: $name
  resources: {requests: {storage: 1Gi}}
K
  admin -n "$namespace" wait --for=jsonpath='{.status.phase}'=Bound --timeout=60s "pvc/$claim" >/dev/null
}
