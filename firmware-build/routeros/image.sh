#!/bin/sh
# image.sh AGENT PLATFORM VERSION TIME_S IMAGE: wrap a static jaga-agent as a container image that RouterOS imports.
#
# PLATFORM is ARCHITECTURE or ARCHITECTURE/VARIANT as container images spell it (arm/v5, arm64/v8, amd64). IMAGE becomes
# a docker-archive: a tar of manifest.json, config.json and layer.tar. RouterOS asks for less than that format allows:
# one platform, one layer, and a layer that is not compressed. Its reader is its own, so the tars are plain ustar too.
# The same arguments make the same bytes: every time is TIME_S, every owner is root, names are sorted.
# POSIX sh and GNU tar, called by firmware-build/routeros/module.mk.
set -eu

agent=$1 platform=$2 version=$3 time_s=$4 image=$5

die() { echo "image: $*" >&2; exit 1; }

[ -f "$agent" ] || die "$agent is not there"
case $version in
*[!A-Za-z0-9._-]*) die "'$version' cannot be the tag of an image" ;;
esac

work=$image.work
trap 'rm -rf "$work"' EXIT
rm -rf "$work"
mkdir -p "$work/root" "$work/image"

# What the agent needs to be a container's only program. The umask and a set-group-ID folder around must not show.
directory() { mkdir -p "$work/root/$2" && chmod "00$1" "$work/root/$2"; }
directory 755 usr
directory 755 usr/sbin
directory 755 etc
directory 700 etc/jaga           # a mount: agent.conf and agent.key
directory 755 run
directory 755 var
directory 755 var/lib
directory 700 var/lib/jaga-agent # a mount: what outlives a new image
install -m 755 "$agent" "$work/root/usr/sbin/jaga-agent"
printf 'root:x:0:0:root:/:/sbin/nologin\n' >"$work/root/etc/passwd"
printf 'root:x:0:\n' >"$work/root/etc/group"
chmod 644 "$work/root/etc/passwd" "$work/root/etc/group"

plain_tar() { # TAR DIRECTORY NAME...: of a root that is not named itself
	archive=$1 from=$2
	shift 2
	tar --format=ustar --sort=name --mtime="@$time_s" --owner=root:0 --group=root:0 -C "$from" -cf "$archive" "$@"
}

plain_tar "$work/image/layer.tar" "$work/root" etc run usr var
layer_sha256=$(sha256sum "$work/image/layer.tar" | cut -d' ' -f1)
created=$(date -u -d "@$time_s" +%Y-%m-%dT%H:%M:%SZ)
variant=
case $platform in
*/*) variant="\"variant\": \"${platform#*/}\"," ;;
esac

cat >"$work/image/config.json" <<-END
	{
	 "architecture": "${platform%/*}", $variant
	 "os": "linux",
	 "created": "$created",
	 "config": {
	  "Entrypoint": ["/usr/sbin/jaga-agent"],
	  "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
	  "WorkingDir": "/",
	  "Labels": {
	   "org.opencontainers.image.title": "jaga-agent",
	   "org.opencontainers.image.version": "$version",
	   "org.opencontainers.image.created": "$created"
	  }
	 },
	 "rootfs": { "type": "layers", "diff_ids": ["sha256:$layer_sha256"] },
	 "history": [{ "created": "$created", "created_by": "make packages-routeros" }]
	}
END
printf '[{"Config":"config.json","RepoTags":["jaga-agent:%s"],"Layers":["layer.tar"]}]\n' "$version" \
	>"$work/image/manifest.json"
chmod 644 "$work/image"/*

plain_tar "$work/image.tar" "$work/image" config.json layer.tar manifest.json
mv "$work/image.tar" "$image"
