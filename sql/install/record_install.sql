-- Record what is installed now, unless the last install recorded exactly this. To compute the digests
-- takes longer than to make the triggers. So sql/online does it afterwards, in a transaction that locks
-- nothing.

insert into session_approval.installs (version, checksum, definitions)
select session_approval.version(), ours.checksum, ours.definitions
from (
  select
    -- The collation is named, so that the order is the same in every database.
    md5(
      string_agg(d.name || d.digest, ',' order by d.name collate "C") filter (where d.kind = 'function')
    ) as checksum,
    jsonb_object_agg(d.kind || ' ' || d.name, d.digest) as definitions
  from session_approval.object_digests() d
) ours
where current_setting('session_approval.online', true) is distinct from 'on'
  and not exists (
    select
    from session_approval.installs i
    where i.id = (select max(latest.id) from session_approval.installs latest)
      and i.version = session_approval.version()
      and i.definitions = ours.definitions
  );
