# shellcheck shell=bash
# Owns what must be on the machine before a cluster can start: Debian's packages and the binaries of tools/.

DEBIAN_PARTS=(containerd runc containernetworking-plugins buildah conntrack iptables iproute2 openssl debootstrap
  jq gcc libc6-dev)
BINARIES=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl coredns metrics-server helm)

is_built() {
  local binary
  for binary in "${BINARIES[@]}"; do [ -x "$BIN/$binary" ] || return 1; done
}

build() {
  local started=$SECONDS tool
  install_debian_parts
  mkdir -p "$BIN"
  # Five gigabytes that nobody needs once the binaries are there; a build that was cut off goes on with them.
  local cache=$BIN/.go-build
  for tool in "$HERE"/tools/*/; do GOCACHE=$cache build_tool "$(basename "$tool")"; done
  rm -rf "$cache"
  say "built in $((SECONDS - started)) s"
}

install_debian_parts() {
  local part missing=()
  for part in "${DEBIAN_PARTS[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$part" 2>/dev/null | grep -qx installed || missing+=("$part")
  done
  [ ${#missing[@]} = 0 ] && return
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # Debian starts containerd as a service of its own; the node has its own and that one is not wanted.
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A stamp beside the binaries holds the hash of what a tool was built from, so that a changed pin rebuilds that tool alone.
build_tool() {
  local tool=$1 stamp
  stamp=$(cat "$HERE/tools/$tool"/* | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$BIN/.$tool.stamp" 2>/dev/null)" = "$stamp" ] && has_binaries "$tool"; then return; fi
  if has_binaries "$tool" && is_of_these_pins "$tool"; then
    say "$tool is built from these pins already"
  else
    say "building $tool"
    (cd "$HERE/tools/$tool" && compile "$tool")
  fi
  echo "$stamp" >"$BIN/.$tool.stamp"
}

compile() {
  # Without debug tables the binaries are a third smaller; a cluster for tests is not debugged with a debugger.
  local version package=k8s.io/component-base/version
  case $1 in
    coredns) CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$BIN/coredns" . ;;
    # Its main package has another name than the program.
    etcd) CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$BIN/etcd" go.etcd.io/etcd/server/v3 ;;
    helm) CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$BIN/helm" helm.sh/helm/v4/cmd/helm ;;
    kwok) CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$BIN/kwok" sigs.k8s.io/kwok/cmd/kwok ;;
    *)
      # Built outside its own build script Kubernetes calls itself v0.0.0, which kubelet and Helm refuse to work with.
      version=$(cd "$HERE/tools/kubernetes" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
      local minor=${version#v1.}
      mapfile -t packages < <(go list tool)
      go build -trimpath -o "$BIN/" \
        -ldflags "-s -w -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}" \
        "${packages[@]}"
      ;;
  esac
}

binaries_of() {
  case $1 in
    kubernetes) printf '%s\n' kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl ;;
    *) echo "$1" ;;
  esac
}

has_binaries() {
  local binary
  for binary in $(binaries_of "$1"); do [ -x "$BIN/$binary" ] || return 1; done
}

# A Go binary says itself which modules are in it: those of a machine image made beforehand need no second build.
is_of_these_pins() {
  local binary module
  for binary in $(binaries_of "$1"); do
    while read -r module; do
      grep -qF "$module" "$HERE/tools/$1/go.mod" || return 1
    done < <(go version -m "$BIN/$binary" 2>/dev/null | awk '$1 == "dep" { print $2 " " $3 }' || echo unreadable)
    go version -m "$BIN/$binary" >/dev/null 2>&1 || return 1
  done
}
