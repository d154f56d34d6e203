-- The installation's policy, in one row: one select reads it, one update changes it.
-- A release that needs another setting adds its line at the end.

create table if not exists session_approval.settings (
  only_row boolean default true,
  constraint settings_pkey primary key (only_row),
  constraint there_is_one_row_of_settings check (only_row)
);

insert into session_approval.settings default values on conflict (only_row) do nothing;

revoke all on session_approval.settings from public, anon, authenticated, service_role;
grant select, update on session_approval.settings to service_role;

comment on table session_approval.settings is
  'The installation''s policy, in one row. Change it with: update session_approval.settings set ...';
comment on column session_approval.settings.only_row is 'Keeps this table at one row.';

do $do$
begin
  perform session_approval.add_column('session_approval.settings', c.name, c.definition, c.comment)
  from (
    values
      (
        'default_time_zone',
        $$text not null default 'UTC'
          constraint default_time_zone_is_known check (now() at time zone default_time_zone is not null)$$,
        'IANA time zone of a proposal that names none. Default: UTC.'
      ),
      (
        'pending_ttl',
        $$interval not null default '72 hours'
          constraint pending_ttl_is_positive check (pending_ttl > interval '0')$$,
        'How long a client has to answer a scheduled proposal; never longer than until its start. '
        'Default: 72 hours.'
      ),
      (
        'instant_ttl',
        $$interval not null default '15 minutes'
          constraint instant_ttl_is_positive check (instant_ttl > interval '0')$$,
        'How long a client has to answer an instant proposal. Default: 15 minutes.'
      ),
      (
        'join_early',
        $$interval not null default '10 minutes'
          constraint join_early_is_not_negative check (join_early >= interval '0')$$,
        'How long before its start a session can be joined. Default: 10 minutes.'
      ),
      (
        'free_cancel_window',
        $$interval not null default '24 hours'
          constraint free_cancel_window_is_not_negative check (free_cancel_window >= interval '0')$$,
        'A client who cancels at least this long before the start gets the credit back. Default: 24 hours.'
      ),
      (
        'buffer',
        $$interval not null default '0 minutes'
          constraint buffer_is_not_negative check (buffer >= interval '0')$$,
        'Pause kept free between two sessions of one person. Default: none.'
      ),
      (
        'block_pending_slots',
        $$boolean not null default true$$,
        'Whether a scheduled proposal that waits for an answer holds its slot in the calendar. Default: true.'
      ),
      (
        'video_base_url',
        $$text constraint video_base_url_is_an_address check (video_base_url ~ '^https?://[^/]+.*[^/]$')$$,
        'Where rooms live, without a closing slash, such as https://example.daily.co; fills the room address '
        'columns of approved sessions. Default: null, which leaves them empty.'
      ),
      (
        'refund_grace',
        $$interval not null default '30 days'
          constraint refund_grace_is_positive check (refund_grace > interval '0')$$,
        'How long a credit can be used that was refunded to a lot which has expired since. Default: 30 days.'
      ),
      (
        'low_balance',
        $$integer not null default 1 constraint low_balance_is_not_negative check (low_balance >= 0)$$,
        'At this many credits or fewer, answers carry a low-balance hint. Default: 1.'
      ),
      (
        'finish_after',
        $$interval not null default '15 minutes'
          constraint finish_after_is_not_negative check (finish_after >= interval '0')$$,
        'How long after its end the sweep closes a session that its therapist has not: completed when '
        'somebody joined it, no_show when nobody did. Default: 15 minutes.'
      ),
      (
        'default_duration',
        $$integer not null default 30
          constraint default_duration_can_be_proposed check (default_duration between 5 and 480)$$,
        'Minutes that a session lasts when its proposal does not say. Default: 30.'
      ),
      (
        'therapist_types',
        $$text[] not null default '{therapist}'
          constraint there_is_a_therapist_type check (
            cardinality(therapist_types) > 0 and array_position(therapist_types, null) is null
          )$$,
        'The values of people.user_type that make a therapist. Default: {therapist}.'
      ),
      (
        'client_types',
        $$text[] not null default '{individual,user}'
          constraint there_is_a_client_type check (
            cardinality(client_types) > 0 and array_position(client_types, null) is null
          )$$,
        'The values of people.user_type that make a client, and of user_credits.user_type whose credits pay; '
        'a new lot takes the client''s own, else the first that user_credits accepts. '
        'Default: {individual,user}.'
      ),
      (
        'video_types',
        $$text[] not null default '{video}'
          constraint video_types_are_words check (array_position(video_types, null) is null)$$,
        'The values of sessions.session_type that take place in a video room. Default: {video}.'
      ),
      (
        'client_scope',
        $$text not null default 'all'
          constraint client_scope_is_known check (client_scope in ('all', 'own'))$$,
        'Which clients a therapist can find. all: every client. own: the clients of own sessions, and a '
        'client whose exact e-mail address is given. Default: all.'
      ),
      (
        'application_search_path',
        $$text not null default 'public, extensions'
          constraint application_search_path_is_not_empty check (btrim(application_search_path) <> '')$$,
        'The search_path under which the application''s own triggers run, when our functions write. '
        'Default: public, extensions.'
      ),
      (
        'suggestion_ttl',
        $$interval not null default '72 hours'
          constraint suggestion_ttl_is_positive check (suggestion_ttl > interval '0')$$,
        'How long suggested times can be accepted. Default: 72 hours.'
      ),
      (
        'pending_per_pair',
        $$integer not null default 5 constraint pending_per_pair_is_positive check (pending_per_pair > 0)$$,
        'How many proposals of one therapist may wait for one client at once; a series counts as one. '
        'Default: 5.'
      ),
      (
        'pending_per_client',
        $$integer not null default 20
          constraint pending_per_client_is_positive check (pending_per_client > 0)$$,
        'How many proposals may wait for one client at once; a series counts as one. Default: 20.'
      ),
      (
        'overrun',
        $$interval not null default '15 minutes'
          constraint overrun_is_not_negative check (overrun >= interval '0')$$,
        'How long after a session''s end its video room stays open. Default: 15 minutes.'
      ),
      (
        'day_starts',
        $$time not null default '08:00'$$,
        'When offered times begin, for a therapist without working hours, in the therapist''s time zone. '
        'Default: 08:00.'
      ),
      (
        'day_ends',
        $$time not null default '20:00' constraint a_day_ends_after_it_starts check (day_starts < day_ends)$$,
        'When offered times end, for a therapist without working hours, in the therapist''s time zone. '
        'Default: 20:00.'
      ),
      (
        'correct_within',
        $$interval not null default '7 days'
          constraint correct_within_is_not_negative check (correct_within >= interval '0')$$,
        'How long after a session''s end its two people can correct the outcome. Default: 7 days.'
      ),
      (
        'no_show_after',
        $$interval not null default '10 minutes'
          constraint no_show_after_is_not_negative check (no_show_after >= interval '0')$$,
        'How long after a session''s start a person can be called absent. Default: 10 minutes.'
      ),
      (
        'refund_client_no_show',
        $$boolean not null default false$$,
        'Whether the credit goes back when the therapist came and the client did not. Default: false.'
      ),
      (
        'refund_unattended',
        $$boolean not null default true$$,
        'Whether the credit goes back when nobody came to a session. Default: true.'
      ),
      (
        'refund_written_cancels',
        $$boolean not null default true$$,
        'Whether the credit goes back when the application itself writes a session''s status cancelled; '
        'false where it returns credits on its own. Default: true.'
      ),
      (
        'therapist_may_refund',
        $$boolean not null default true$$,
        'Whether a therapist may give back the credit of a session of theirs, within correct_within. '
        'Default: true.'
      ),
      (
        'reminders',
        $$interval[] not null default '{24 hours,1 hour}'
          constraint reminders_are_positive check (
            interval '0' < all (reminders) and array_position(reminders, null) is null
          )$$,
        'How long before a session''s start its people are reminded; {} never. Default: {24 hours,1 hour}.'
      ),
      (
        'message_detail',
        $$text not null default 'discreet'
          constraint message_detail_is_known check (message_detail in ('discreet', 'full'))$$,
        'What messages say where others may see it: discreet leaves out titles, notes and the therapist''s '
        'name; or full. Default: discreet.'
      )
  ) as c (name, definition, comment);

  -- Earlier commits had refund_no_show; refund_unattended replaces it. It is dropped only after the old
  -- functions, which read it.
  if to_regprocedure('session_approval.close_session(uuid)') is null
    and exists (
      select
      from pg_catalog.pg_attribute a
      where a.attrelid = 'session_approval.settings'::regclass
        and a.attname = 'refund_no_show'
    )
  then
    perform session_approval.lock_tables('access exclusive', 'session_approval.settings');

    alter table session_approval.settings drop column refund_no_show;
  end if;
end
$do$;
