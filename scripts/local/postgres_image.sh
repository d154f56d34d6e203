#!/usr/bin/env bash
# Makes a small image of this Debian's Postgres, for machines that reach no image registry, in about a minute.
# scripts/local/postgres_image.sh NAME    (as root, with debootstrap and a running Docker)
set -euo pipefail
name=${1:?usage: scripts/local/postgres_image.sh NAME}
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $suite" 'Created-By: Packages' | head -n 1)

root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
timeout 300 debootstrap --variant=minbase --include=postgresql "$suite" "$root" ${mirror:+"$mirror"} >"$root.log" ||
  { tail -n 20 "$root.log"; exit 1; }
rm -rf "$root.log" "$root"/var/cache/apt "$root"/var/lib/apt/lists "$root"/usr/share/{doc,locale,man} "$root"/var/lib/postgresql

# As the official image: POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB; TCP answers only when all is ready.
cat >"$root/usr/local/bin/start-postgres" <<'START'
#!/bin/sh
set -eu
user=${POSTGRES_USER:-postgres} data=/var/lib/postgresql/data
postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }

install -d -o postgres -g postgres /var/lib/postgresql /var/run/postgresql
if [ ! -e $data/PG_VERSION ]; then
  umask 077
  printf %s "${POSTGRES_PASSWORD:?is not set}" >/run/password
  chown postgres /run/password
  postgres initdb -D $data -U "$user" --pwfile=/run/password --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 --auth-local=trust
  rm /run/password
  echo 'host all all all scram-sha-256' >>$data/pg_hba.conf
  postgres pg_ctl -D $data -w -o "-c listen_addresses=''" start
  [ "${POSTGRES_DB:-$user}" = postgres ] || postgres createdb -U "$user" "${POSTGRES_DB:-$user}"
  postgres pg_ctl -D $data -w stop
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups postgres -D $data -c listen_addresses='*'
START
chmod 755 "$root" "$root/usr/local/bin/start-postgres"

version=$(ls "$root/usr/lib/postgresql")
tar -C "$root" --one-file-system -c . | docker import \
  --change "ENV PATH=/usr/lib/postgresql/$version/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
  --change 'ENTRYPOINT ["start-postgres"]' --change 'EXPOSE 5432' - "$name"
