# shellcheck shell=bash disable=SC2154
# What ./run and ./test share: Debian packages and the build.  Sourced, with $root the repository.

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# missing_packages FILE...: names listed there that are not installed, one a line.
missing_packages() {
  local name
  cat "$@" | while read -r name; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s\n' "$name"
  done
}

# install_packages FILE...: installs what is missing and never removes a package.  Without the rights to, prints the
# line to type and stops.
install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "This is not Debian: these packages, or what your system calls them, must be there: $(cat "$@" | tr '\n' ' ')"
    return
  fi
  local missing
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  local install="apt-get install -y --no-install-recommends --no-remove $missing"
  local as_root=""
  if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      die "Some Debian packages are missing.  Type this, then start again:
  sudo apt-get update && sudo $install"
    fi
    as_root="sudo -n"
  fi
  say "Installing: $missing"
  $as_root apt-get update -qq || die "apt-get update failed"
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive $as_root $install -qq >"$root/build/packages.log" 2>&1 </dev/null ||
    { tail -n 20 "$root/build/packages.log" >&2; die "Installing packages failed (build/packages.log)"; }
}

# configure OPTION...: writes build/ for Release; says whether a CUDA toolkit is used.
configure() {
  mkdir -p "$root/build"
  (cd "$root" && cmake --preset release "$@") >"$root/build/configure.log" 2>&1 ||
    { tail -n 30 "$root/build/configure.log" >&2; die "Configuring failed (build/configure.log)"; }
  sed -n 's/^-- Tandem: //p' "$root/build/configure.log" >&2
}

# build TARGET...: compiles, quietly unless it fails.
build() {
  say "Building"
  if ! cmake --build "$root/build" --target "$@" >"$root/build/build.log" 2>&1; then
    grep -E 'error|Error|FAILED' -A 8 "$root/build/build.log" | head -n 60 >&2
    die "The build failed (build/build.log)"
  fi
}
