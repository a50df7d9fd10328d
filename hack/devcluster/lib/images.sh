# shellcheck shell=bash
# Owns images: the stand-in for the base that a registry would give, the project's own, and their way into the node.

has_image() { buildah inspect --type image "$1" >/dev/null 2>&1; }

# Commits a directory as an image.
commit_image() { # directory, image, buildah config arguments…
  local directory=$1 image=$2 container
  shift 2
  container=$(buildah from scratch)
  buildah add -q "$container" "$directory" / >/dev/null
  buildah config "$@" "$container"
  buildah commit -q "$container" "$image" >/dev/null
  buildah rm "$container" >/dev/null
}

# The container that holds a pod's namespaces. It only has to wait and to end when told to.
make_pause() {
  has_image "$PAUSE" && return
  local root
  root=$(mktemp -d)
  cat >"$root/pause.c" <<'C'
#include <signal.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); for (;;) pause(); }
C
  gcc -static -O2 -o "$root/pause" "$root/pause.c"
  rm "$root/pause.c"
  commit_image "$root" "$PAUSE" --entrypoint '["/pause"]'
  rm -rf "$root"
}

base() {
  has_image "$BASE_IMAGE" && return
  local root started=$SECONDS
  root=$(mktemp -d)
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$root" \
    >"$STATE/debootstrap.log" || die "debootstrap failed: $STATE/debootstrap.log"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
  # A machine behind a proxy with a certificate authority of its own: builds inside the image meet the same proxy.
  cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  chroot "$root" update-ca-certificates >/dev/null 2>&1
  ln -sf python3 "$root/usr/bin/python"
  chmod 755 "$root"
  commit_image "$root" "$BASE_IMAGE" --cmd python3
  rm -rf "$root"
  say "$BASE_IMAGE made in $((SECONDS - started)) s"
}

image() { # target of the Dockerfile, name:tag
  local from=${BASE:-$BASE_IMAGE} started=$SECONDS
  [ $# = 2 ] || die "usage: devcluster image TARGET NAME:TAG"
  [ "$from" != "$BASE_IMAGE" ] || base
  # chroot: the steps use the machine's network as it is, with no bridge and no rights beyond root's.
  buildah build --quiet --layers --isolation chroot --build-arg "BASE=$from" --target "$1" --tag "$2" \
    --file "$PROJECT/Dockerfile" "$PROJECT" >/dev/null
  say "$2 built in $((SECONDS - started)) s"
}

load() {
  local id mark=$RUN/loaded/${1//[^a-zA-Z0-9._-]/_} archive
  id=$(buildah inspect --type image --format '{{.FromImageID}}' "$1") || die "no such image: $1"
  if [ "$(cat "$mark" 2>/dev/null)" = "$id" ] && [ -n "$(node_ctr images ls -q "name==$1")" ]; then return; fi
  archive=$(mktemp -u --suffix .tar -p "$RUN")
  buildah push -q "$1" "docker-archive:$archive:$1"
  node_ctr images import "$archive" >/dev/null
  rm -f "$archive"
  mkdir -p "$RUN/loaded"
  echo "$id" >"$mark"
}
