#!/bin/sh
# Makes the Node that npm ci brought along start on a Debian or Ubuntu without libatomic1. Needs no root and changes
# nothing outside node_modules.
#
# Node 26 is linked to libatomic.so.1, which a minimal system lacks, and npm's scripts find node_modules/.bin/node
# before any other Node. npm runs this as `postinstall`. It is sh because there may be no Node to run it, and always
# exits 0: what is missing can still be installed afterwards, and until then `node` says so.
set -u

node_modules/.bin/node --version >/dev/null 2>&1 && exit 0
for package in "$PWD"/node_modules/node-linux-*; do :; done
node=$package/bin/node
[ -e "$node" ] || exit 0

work=$package/fetch
trap 'rm -rf "$work" "$node.patched"' EXIT
trap 'exit 1' HUP INT TERM

say() {
  echo "relay: $*" >&2
}

# The same settings as in infra/redis/packages.ts. Only a file can clear the hooks of a system, which need root.
configure_apt() {
  cat >"$work/apt.conf" <<END
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "$work/state";
Dir::State::lists "$1";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$work";
Dir::Log "$work";
Debug::NoLocking "true";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
APT::Sandbox::User "root";
END
}

apt() {
  (cd "$work" && timeout 240 apt-get -qq -c apt.conf "$@") >>"$work/log" 2>&1
}

download_packages() {
  mkdir -p "$work/state" "$work/lists/partial" || return
  set -- /var/lib/apt/lists/*_Packages*
  if [ -e "$1" ]; then
    configure_apt /var/lib/apt/lists
    apt download libatomic1 patchelf && return
  fi
  configure_apt "$work/lists"
  : >"$work/log"
  # One unreachable source fails the whole update, while the others may well hold the packages.
  apt update
  apt download libatomic1 patchelf
}

# A search path inside the program rather than LD_LIBRARY_PATH: a child with an environment of its own starts, too.
patch_node() {
  for archive in "$work"/*.deb; do
    dpkg-deb --extract "$archive" "$work/root" || return
  done
  mkdir -p "$package/lib" &&
    cp "$work"/root/usr/lib/*/libatomic.so.1 "$package/lib/" &&
    cp "$node" "$node.patched" &&
    "$work/root/usr/bin/patchelf" --set-rpath "\$ORIGIN/../lib" "$node.patched" &&
    "$node.patched" --eval 0 &&
    mv "$node.patched" "$node" &&
    ln -sf "../${package##*/}/bin/node" node_modules/.bin/node
}

problem=$("$node" --version 2>&1 | head -n 1)
remedy='Install Node 24 or newer, then run npm ci again.'
case $problem in
  *libatomic.so.1*)
    problem='the Node that npm ci brought along needs libatomic.so.1, which this system lacks'
    if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
      remedy='Install it:  sudo apt-get install -y libatomic1'
      say "$problem: fetching its package, without root"
      download_packages && patch_node >"$work/log" 2>&1 && exit 0
      reason=$(head -n 1 "$work/log" 2>/dev/null)
      problem="$problem (fetching its package failed: ${reason:-no reason given})"
    elif command -v dnf >/dev/null; then
      remedy='Install it:  sudo dnf install -y libatomic'
    elif command -v zypper >/dev/null; then
      remedy='Install it:  sudo zypper install -y libatomic1'
    elif command -v pacman >/dev/null; then
      remedy='Install it:  sudo pacman -S --noconfirm gcc-libs'
    fi
    ;;
  *) problem="the Node that npm ci brought along does not start here ($problem)" ;;
esac

# The oldest that runs our TypeScript, as in runtime.ts.
system=$("${npm_node_execpath:-node}" --print 'process.versions.node' 2>/dev/null)
if [ "${system%%.*}" -ge 24 ] 2>/dev/null; then
  rm -f node_modules/.bin/node
  say "$problem. Node $system of this system is used instead."
  exit 0
fi

# Says it again whenever `node` is used, until it starts. npm puts its own links back, so only the link changes.
echo "relay: $problem. $remedy" | tee "$package/problem" >&2
cat >"$package/bin/node-or-problem" <<'END'
#!/bin/sh
package=$(dirname "$(readlink -f "$0")")/..
"$package/bin/node" --version >/dev/null 2>&1 && exec "$package/bin/node" "$@"
cat "$package/problem" >&2
exit 2
END
chmod +x "$package/bin/node-or-problem"
ln -sf "../${package##*/}/bin/node-or-problem" node_modules/.bin/node
