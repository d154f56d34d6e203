-- Video: joining a room, the provider's events about it, and rooms that need repair.

\ir rooms_to_repair.sql
\ir join_answer.sql
\ir join_session.sql
\ir video_event_answer.sql
\ir record_video_event.sql
