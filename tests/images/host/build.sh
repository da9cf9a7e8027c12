#!/bin/sh
# build.sh [SUITE]: builds the image of a bare test host (Debian with systemd, sshd and sudo, nothing
# else) and prints its name.
# The name carries the hash of this directory, so what is there is not built again.
set -eu

directory=$(cd "$(dirname "$0")" && pwd)
suite=${1:-trixie}
bundle=/etc/ssl/certs/ca-certificates.crt
version=$(cat "$directory"/build.sh "$directory"/host-init "$bundle" | sha256sum | cut -c1-12)
image=intranet-mcp/test-host:$suite-$version

if ! docker image inspect "$image" >/dev/null 2>&1; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # shellcheck disable=SC2016  # $1 is the new root, expanded by mmdebstrap's shell
    mmdebstrap --quiet --variant=minbase \
        --include=systemd-sysv,dbus,ca-certificates,python3-minimal,libpython3-stdlib,iproute2,openssh-server,procps,sudo \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='install -m 0755 '"$directory"'/host-init "$1/usr/local/sbin/host-init"' \
        --customize-hook='install -m 0644 '"$bundle"' "$1/etc/ssl/certs/ca-certificates.crt"' \
        --customize-hook='chroot "$1" systemctl mask ssh.socket systemd-firstboot.service systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service systemd-resolved.service getty.target console-getty.service systemd-udevd.service systemd-udev-trigger.service systemd-modules-load.service sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount systemd-logind.service apt-daily.timer apt-daily-upgrade.timer' \
        --customize-hook='rm -f "$1/etc/ssh/"ssh_host_*_key "$1/etc/ssh/"ssh_host_*_key.pub "$1/etc/machine-id" "$1/etc/hostname" "$1/etc/resolv.conf" "$1/etc/apt/apt.conf.d/"99mmdebstrap*' \
        "$suite" "$work/host.tar" >&2
    docker import \
        --change 'ENV container=docker' \
        --change 'ENTRYPOINT ["/usr/local/sbin/host-init"]' \
        "$work/host.tar" "$image" >&2
fi
echo "$image"
